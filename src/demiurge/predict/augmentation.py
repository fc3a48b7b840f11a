"""Test-time augmentation: the orientations in which a window is predicted."""

from __future__ import annotations

from demiurge.errors import UsageError
from demiurge.model.bundle import Card
from demiurge.raster.orientation import ORIENTATIONS, Orientation, canonical
from demiurge.scene.camera import Direction


def orientations(card: Card, count: int, sun: Direction | None = None) -> tuple[Orientation, ...]:
    """Return the orientations for test-time augmentation, or the canonical one of the sun.

    Shading has a direction: in an orientation that is missing from its training, a network
    confuses slopes with their opposites.

    Parameters
    ----------
    sun
        Direction to the sun, if the bundle sees it.

    Raises
    ------
    UsageError
        For a count other than 1, 2, 4 or 8, or one that the bundle's recipe does not include.
    """
    if count not in ORIENTATIONS:
        raise UsageError(f"--tta is {count}", "choose 1, 2, 4 or 8")
    if card.contract.sun:
        if count != 1:
            raise UsageError(
                f"--tta is {count}, but bundle '{card.name}' turns each window towards the sun, "
                "so that all orientations give the same",
                "leave --tta out",
            )
        return ORIENTATIONS[1] if sun is None else (canonical(sun.azimuth)[0],)
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
