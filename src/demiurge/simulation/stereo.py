"""A stereo scene: a world, two takes of it, and what a stereo pipeline makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demiurge.raster.voids import fill_voids
from demiurge.simulation.cover import World, build_world
from demiurge.simulation.fields import along_rows, blur
from demiurge.simulation.landforms import make_land
from demiurge.simulation.light import illuminate
from demiurge.simulation.matching import Matcher, SemiGlobal, grid_points, ray_miss, triangulate
from demiurge.simulation.settings import Settings
from demiurge.simulation.views import View, coarse_heights, expose, render

Array = npt.NDArray[np.float32]

#: Pixels around the scene that are made and cut away, so that its edges are like its middle.
MARGIN = 96
#: Standard deviation of NDVI's noise.
_INDEX_NOISE = 0.02


def make_world(
    settings: Settings,
    rng: np.random.Generator,
    terrain: Array | None = None,
    known: float = 0.0,
) -> World:
    """Make a place, with the margin that is cut away later.

    Parameters
    ----------
    terrain
        Bare-earth heights of a real place in metres, float32 (size + 2 · MARGIN) a side; made if
        None.
    known
        Pixel size in metres of the file that the terrain comes from.
    """
    side = settings.size + 2 * MARGIN
    land = make_land((side, side), settings.gsd, settings.terrain, rng, terrain, known)
    return build_world(land, settings.gsd, settings.cover, rng)


def simulate_stereo(
    settings: Settings,
    rng: np.random.Generator,
    world: World | None = None,
    matcher: Matcher | None = None,
) -> dict[str, Array]:
    """Take a stereo pair of a place, match it, and return the layers of a scene.

    Parameters
    ----------
    world
        The place, (size + 2 · MARGIN) pixels a side; made if None.
    matcher
        Finds disparities; semi-global matching if None.

    Returns
    -------
    Layers by name, all float32 (size, size); NaN for no data, heights in metres.
    """
    world = world or make_world(settings, rng)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    layers = {"truth_dsm": world.dsm[inner].copy(), "truth_dtm": world.dtm[inner].copy()}
    if world.landcover.any():
        layers["landcover"] = world.landcover[inner].astype(np.float32)
    # The orbit is turned against the map by quarters, so that no direction is special.
    quarters = int(rng.integers(4))
    dtm, dsm, albedo = (_turned(p, quarters) for p in (world.dtm, world.dsm, world.albedo))
    ndvi = None if world.ndvi is None else _turned(world.ndvi, quarters)
    del world
    made = _take_and_match(dtm, dsm, albedo, ndvi, settings, 90.0 * quarters, rng, matcher)
    return {k: _turned(v, -quarters)[inner].copy() for k, v in made.items()} | layers


def _turned(plane: Array, quarters: int) -> Array:
    return np.ascontiguousarray(np.rot90(plane, quarters))


def _take_and_match(
    dtm: Array,
    dsm: Array,
    albedo: Array,
    ndvi: Array | None,
    settings: Settings,
    turn: float,
    rng: np.random.Generator,
    matcher: Matcher | None,
) -> dict[str, Array]:
    """Take two images along the rows, match them, and project them with what was found.

    Parameters
    ----------
    turn
        Degrees by which the world was turned counterclockwise; the sun turns along.
    """
    gsd = settings.gsd
    coarse = coarse_heights(dtm, gsd, rng)
    left, right = (_take(dsm, albedo, coarse, settings, index, turn, rng) for index in (0, 1))
    match = matcher or SemiGlobal(settings.matcher)
    disparity = match(left.image, right.image)
    place, height = triangulate(disparity, coarse, left.slant, right.slant)
    miss = ray_miss(left.image, right.image, disparity, gsd)
    initial, error = grid_points(place, height, miss)
    del disparity, place, height, miss
    filled = fill_voids(initial - coarse) + coarse
    index = {}
    if ndvi is not None:
        seen = _index(render(dsm, ndvi, coarse, left.slant), settings, rng)
        index["ndvi"] = orthorectify(seen, filled, coarse, settings.sensor.misregistration)
    return {
        "dsm": initial,
        "triangulation_error": error,
        "ortho_left": orthorectify(left, filled, coarse),
        "ortho_right": orthorectify(right, filled, coarse, settings.sensor.misregistration),
        **index,
    }


def _index(view: View, settings: Settings, rng: np.random.Generator) -> View:
    """Return NDVI as coarser bands of the left camera see it; heights displace it like an image."""
    unseen = np.isnan(view.image)
    seen = np.where(unseen, np.float32(np.nanmean(view.image)), view.image)
    # A square pixel of width w spreads by w / √12, its optics by about as much again.
    seen = blur(seen, 0.4 * settings.sensor.multispectral)
    seen += np.float32(_INDEX_NOISE) * rng.standard_normal(seen.shape, np.float32)
    np.clip(seen, -1, 1, out=seen)
    seen[unseen] = np.nan
    return View(np.asarray(seen, np.float32), view.slant)


def _take(
    dsm: Array,
    albedo: Array,
    coarse: Array,
    settings: Settings,
    index: int,
    turn: float,
    rng: np.random.Generator,
) -> View:
    """Light the world at the time of a take, render it, and expose it."""
    light, sensor = settings.light, settings.sensor
    azimuth = (light.azimuth + index * light.later - turn) % 360
    brightness = illuminate(dsm, albedo, settings.gsd, azimuth, light.elevation)
    slant = np.tan(np.radians(sensor.incidence[index])) / settings.gsd
    view = render(dsm, brightness, coarse, float(slant))
    jitter = sensor.jitter if index else 0.0
    return View(expose(view.image, sensor.blur, sensor.noise, jitter, rng), view.slant)


def orthorectify(view: View, heights: Array, coarse: Array, shift: float = 0.0) -> Array:
    """Return a view as heights project it: errors of the heights displace the image.

    Parameters
    ----------
    view
        On the map of the coarse heights.
    heights, coarse
        float32 (rows, columns) in metres, finite.
    shift
        Columns that the result is out of register.
    """
    columns = np.arange(heights.shape[1], dtype=np.float32)
    x = columns + np.float32(view.slant) * (heights - coarse)
    for _ in range(3):  # x + slant h0(x) = column + slant h
        there = along_rows(coarse, x, np.inf)
        x = columns + np.float32(view.slant) * (heights - there)
    x += np.float32(shift)
    return np.asarray(along_rows(view.image, x, np.nan), np.float32)
