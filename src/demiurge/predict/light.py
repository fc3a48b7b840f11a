"""The sun of a scene, as a bundle sees it: what is known of it, and whether the bundle knows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from demiurge.model.bundle import Bundle, Card
from demiurge.raster.orientation import canonical
from demiurge.scene.camera import Direction
from demiurge.scene.scene import Scene
from demiurge.scene.sunlight import Sunlight, find_sun
from demiurge.scene.views import MAX_ANGLE

#: Degrees beyond the range of the training suns, in azimuth and elevation, above which a warning is
#: given: two standard deviations of the variation in training.
_BEYOND_AZIMUTH, _BEYOND_ELEVATION = 16.0, 8.0


def under_sun(scene: Scene, sun: Direction | None, bundle: Bundle) -> Scene:
    """Return a scene with the direction to the sun that a user gives, if any, and notes on it."""
    if sun is None:
        return scene
    note = ""
    if not bundle.contract.sun:
        note = (
            f"--sun ({sun}) is not used: bundle '{bundle.card.name}' does not take the sun; it is "
            "only a tag of the result"
        )
    elif scene.sun is not None and scene.sun.angle_to(sun) > MAX_ANGLE:
        note = (
            f"the sun of the scene or its metadata ({scene.sun}) differs by "
            f"{scene.sun.angle_to(sun):.1f} degrees from that of --sun ({sun}), which is used"
        )
    return replace(scene, sun=sun, notes=(*scene.notes, *([note] if note else [])))


def sun_for(scene: Scene, bundle: Bundle) -> Sunlight | None:
    """Return the direction to the sun of a scene, or None if the bundle does not see it."""
    return find_sun(scene) if bundle.contract.sun else None


def sun_tags(sun: Sunlight | None, card: Card) -> dict[str, str]:
    """Return tags: the sun, where it comes from, and how it differs from the training suns."""
    if sun is None:
        return {}
    tags = {"sun": str(sun.direction), "sun_from": sun.origin}
    beyond = "; ".join(_beyond(sun, card))
    return {**tags, "sun_outside_training": beyond} if beyond else tags


def sun_warnings(sun: Sunlight | None, card: Card) -> tuple[str, ...]:
    """Return sentences on a sun that was not given, or that is unlike the training suns."""
    if sun is None:
        return ()
    notes = [sun.note] if sun.note else []
    notes += [
        f"the sun is unlike those that bundle '{card.name}' was trained with ({fault}): treat the "
        "result as unreliable"
        for fault in _beyond(sun, card)
    ]
    return tuple(notes)


def _beyond(sun: Sunlight, card: Card) -> Iterator[str]:
    """Yield how a sun lies outside the range of the training suns."""
    if card.suns is None:
        return
    azimuth = canonical(sun.direction.azimuth)[1]
    for name, value, (low, high), room in (
        ("elevation", sun.direction.elevation, card.suns.elevation, _BEYOND_ELEVATION),
        ("azimuth after turning", azimuth, card.suns.azimuth, _BEYOND_AZIMUTH),
    ):
        if not low - room <= value <= high + room:
            yield f"{name} {value:.1f} degrees, training {low:.1f} to {high:.1f}"
