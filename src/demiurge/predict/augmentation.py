"""Test-time augmentation: predict a window in several orientations and average the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import UsageError
from demiurge.model.bundle import Card
from demiurge.model.contract import Contract, Encoded


@dataclass(frozen=True)
class Orientation:
    """A position of the dihedral group: transposed or not, then flipped.

    Nothing is learned about heights that change sign when turned, so planes are only moved.
    """

    transpose: bool = False
    rows: bool = False
    columns: bool = False

    def forth(self, planes: Array) -> Array:
        """Bring planes (channels, n, n) to the position."""
        if self.transpose:
            planes = planes.swapaxes(1, 2)
        if self.rows:
            planes = planes[:, ::-1]
        return planes[:, :, ::-1] if self.columns else planes

    def back(self, planes: Array) -> Array:
        """Undo :meth:`forth`."""
        if self.columns:
            planes = planes[:, :, ::-1]
        if self.rows:
            planes = planes[:, ::-1]
        return planes.swapaxes(1, 2) if self.transpose else planes


#: Orientations by their number: as they are; mirrored across the main diagonal; flipped; all.
_FLIPS = tuple(Orientation(rows=r, columns=c) for r in (False, True) for c in (False, True))
TURNS: dict[int, tuple[Orientation, ...]] = {
    1: _FLIPS[:1],
    2: (Orientation(), Orientation(transpose=True)),
    4: _FLIPS,
    8: (*_FLIPS, *(Orientation(True, f.rows, f.columns) for f in _FLIPS)),
}


def orientations(count: int) -> tuple[Orientation, ...]:
    """Return that many orientations.

    Raises
    ------
    UsageError
        For another number than 1, 2, 4 or 8.
    """
    if count not in TURNS:
        raise UsageError(f"--tta is {count}", "choose 1, 2, 4 or 8")
    return TURNS[count]


def require_learned(card: Card, count: int) -> None:
    """Raise unless a bundle was trained with that many orientations.

    Shading has a direction: turned by an orientation that it never saw, a network takes slopes
    for their opposites.

    Raises
    ------
    UsageError
        If the recipe lacks one of the orientations, or the bundle does not hold its recipe.
    """
    orientations(count)
    augment = card.recipe.get("augment", {})
    learned = {1}
    if augment.get("diagonal"):
        learned |= {2}
    if augment.get("flip"):
        learned = set(TURNS)
    if count not in learned:
        others = " or ".join(str(n) for n in sorted(learned))
        raise UsageError(
            f"--tta is {count}, but bundle '{card.name}' was not trained on images turned that way",
            "leave --tta out" if learned == {1} else f"choose --tta {others}",
        )


def gather(
    contract: Contract, encoded: Encoded, answers: Sequence[Array], turns: Sequence[Orientation]
) -> Array:
    """Return the mean of the answers as heights and uncertainty.

    Parameters
    ----------
    answers
        float32 (outputs, n, n), one per position.

    Returns
    -------
    float32 (outputs, n, n) in metres. The uncertainty is the root of the mean predicted variance
    plus the variance between the positions.
    """
    if len(answers) == 1:
        return contract.decode(answers[0], encoded)
    found = [
        contract.decode(np.ascontiguousarray(turn.back(answer)), encoded)
        for turn, answer in zip(turns, answers, strict=True)
    ]
    count = len(contract.targets)
    stacked = np.stack(found)
    heights = stacked[:, :count].mean(axis=0)
    if not contract.uncertainty:
        return np.asarray(heights, np.float32)
    variance = np.square(stacked[:, count:]).mean(axis=0) + stacked[:, :count].var(axis=0)
    return np.concatenate([heights, np.sqrt(variance)]).astype(np.float32)
