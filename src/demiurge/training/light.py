"""The sun of training chips: its variation, and chips turned to its canonical side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from demiurge.arrays import Array
from demiurge.model.bundle import SunRange
from demiurge.raster.orientation import canonical
from demiurge.scene.camera import Direction
from demiurge.scene.scene import Scene
from demiurge.scene.sunlight import find_sun
from demiurge.training.split import Region

#: Standard deviations in degrees of the random change of a chip's sun, so that the errors of
#: estimated suns do no harm, and the range of its elevations.
_AZIMUTH, _ELEVATION, _RANGE = 8.0, 4.0, (5.0, 89.0)


def with_suns(scenes: Sequence[Scene]) -> tuple[list[Scene], list[str]]:
    """Return the scenes with a sun, and a note on each that was not given."""
    found = [find_sun(scene) for scene in scenes]
    lit = [replace(s, sun=sun.direction) for s, sun in zip(scenes, found, strict=True)]
    pairs = zip(scenes, found, strict=True)
    return lit, [f"scene '{scene.name}': {sun.note}" for scene, sun in pairs if sun.note]


def suns_of(regions: Sequence[Region]) -> list[Direction | None]:
    """Return the direction to the sun of each region."""
    scenes = {id(region.scene): region.scene for region in regions}
    suns = {key: find_sun(scene).direction for key, scene in scenes.items()}
    return [suns[id(region.scene)] for region in regions]


def range_of(scenes: Sequence[Scene]) -> SunRange:
    """Return the range of the suns of scenes."""
    suns = [find_sun(scene).direction for scene in scenes]
    azimuths = [canonical(sun.azimuth)[1] for sun in suns]
    elevations = [sun.elevation for sun in suns]
    return SunRange(
        azimuth=(round(min(azimuths), 2), round(max(azimuths), 2)),
        elevation=(round(min(elevations), 2), round(max(elevations), 2)),
    )


def varied(sun: Direction | None, rng: np.random.Generator) -> Direction | None:
    """Return a sun with random changes of a few degrees; None, without a draw, for None."""
    if sun is None:
        return None
    azimuth, elevation = rng.normal((sun.azimuth, sun.elevation), (_AZIMUTH, _ELEVATION))
    return Direction(float(azimuth) % 360, float(np.clip(elevation, *_RANGE)))


def turned(sun: Direction | None, *planes: Array) -> tuple[tuple[Array, ...], Direction | None]:
    """Return planes (…, size, size) in the canonical orientation of a sun, and the sun in it.

    Without a sun the planes are unchanged.
    """
    if sun is None:
        return planes, None
    orientation, azimuth = canonical(sun.azimuth)
    moved = (np.ascontiguousarray(orientation.apply(plane)) for plane in planes)
    return tuple(moved), Direction(azimuth, sun.elevation)


def lit_alike(images: Array, theirs: Direction | None, own: Direction | None) -> Array:
    """Return images (bands, size, size) of another sun, turned so that it is on the own one's side.

    Images of another place must differ from the heights by their content, not by their light.
    """
    if theirs is None or own is None:
        return images
    return canonical(own.azimuth)[0].undo(canonical(theirs.azimuth)[0].apply(images))
