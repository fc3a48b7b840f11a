"""Test-time augmentation: the orientations in which a window is predicted."""

from __future__ import annotations

from dataclasses import dataclass

from demiurge.arrays import Array
from demiurge.errors import UsageError
from demiurge.model.bundle import Card


@dataclass(frozen=True)
class Orientation:
    """An element of the dihedral group: an optional transposition, then optional flips.

    Heights keep their values under rotation and flips, so only the pixels move.
    """

    transpose: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, planes: Array) -> Array:
        """Return planes (channels, n, n) in this orientation."""
        if self.transpose:
            planes = planes.swapaxes(1, 2)
        if self.rows:
            planes = planes[:, ::-1]
        return planes[:, :, ::-1] if self.columns else planes

    def undo(self, planes: Array) -> Array:
        """Reverse :meth:`apply`."""
        if self.columns:
            planes = planes[:, :, ::-1]
        if self.rows:
            planes = planes[:, ::-1]
        return planes.swapaxes(1, 2) if self.transpose else planes


_FLIPS = tuple(Orientation(rows=r, columns=c) for r in (False, True) for c in (False, True))
#: Orientations by their count: identity; with the transposition; the flips; all eight.
ORIENTATIONS: dict[int, tuple[Orientation, ...]] = {
    1: _FLIPS[:1],
    2: (Orientation(), Orientation(transpose=True)),
    4: _FLIPS,
    8: (*_FLIPS, *(Orientation(True, f.rows, f.columns) for f in _FLIPS)),
}


def orientations(card: Card, count: int) -> tuple[Orientation, ...]:
    """Return the orientations for test-time augmentation.

    Shading has a direction: in an orientation that is missing from its training, a network
    confuses slopes with their opposites.

    Raises
    ------
    UsageError
        For a count other than 1, 2, 4 or 8, or one that the bundle's recipe does not include.
    """
    if count not in ORIENTATIONS:
        raise UsageError(f"--tta is {count}", "choose 1, 2, 4 or 8")
    augment = card.recipe.get("augment", {})
    trained = {1, 2} if augment.get("diagonal") else {1}
    if augment.get("flip"):
        trained = set(ORIENTATIONS)
    if count not in trained:
        others = " or ".join(str(n) for n in sorted(trained))
        raise UsageError(
            f"--tta is {count}, but bundle '{card.name}' was not trained on images turned that way",
            "leave --tta out" if trained == {1} else f"choose --tta {others}",
        )
    return ORIENTATIONS[count]
