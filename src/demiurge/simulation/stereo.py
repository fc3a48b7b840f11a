"""A stereo scene: a world, two takes of it, and what a stereo pipeline makes of them."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array
from demiurge.raster.voids import fill_voids
from demiurge.simulation.cover import World, build_world
from demiurge.simulation.fields import blur, fractal
from demiurge.simulation.frame import Frame, look_up
from demiurge.simulation.gridding import grid_points
from demiurge.simulation.landforms import make_land
from demiurge.simulation.light import illuminate
from demiurge.simulation.matching import Matcher, Search, make_matcher, ray_miss, triangulate
from demiurge.simulation.settings import Settings
from demiurge.simulation.views import View, coarse_heights, expose, render

#: Pixels around the scene that are made and cut away, so that its edges are like its middle.
MARGIN = 96
#: Pixels around the scene in the epipolar frame, for what leans into it.
_FRAME_MARGIN = 64
#: Share of the scenes whose epipolar lines are drawn along rows or columns.
_STRAIGHT = 0.25
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
    frame = Frame.around(settings.size, _FRAME_MARGIN, world.dsm.shape[0], _turn(settings, rng))
    dtm, dsm = frame.from_map(world.dtm), frame.from_map(world.dsm)
    albedo = np.clip(frame.from_map(world.albedo, smooth=True), 0, 1)
    ndvi = None if world.ndvi is None else frame.from_map(world.ndvi)
    del world
    made = _take_and_match(dtm, dsm, albedo, ndvi, settings, frame, rng, matcher)
    return made | layers


def _turn(settings: Settings, rng: np.random.Generator) -> float:
    """Return the angle of the epipolar lines; drawn, so that no direction is special."""
    straight, quarters, angle = rng.random(), int(rng.integers(4)), float(rng.uniform(0, 360))
    if settings.sensor.turn is not None:
        return settings.sensor.turn
    return 90.0 * quarters if straight < _STRAIGHT else angle


def _take_and_match(
    dtm: Array,
    dsm: Array,
    albedo: Array,
    ndvi: Array | None,
    settings: Settings,
    frame: Frame,
    rng: np.random.Generator,
    matcher: Matcher | None,
) -> dict[str, Array]:
    """Take two images along the rows of the frame, match them, and project them on the map."""
    gsd, size = settings.gsd, settings.size
    coarse = coarse_heights(dtm, gsd, rng)
    left, right = (_take(dsm, albedo, coarse, settings, i, frame.turn, rng) for i in (0, 1))
    search = Search.of((left.slant - right.slant) * (dsm - coarse), settings.matcher)
    match = matcher or make_matcher(settings.matcher, search)
    disparity = match(left.image, right.image)
    place, height = triangulate(disparity, coarse, left.slant, right.slant)
    miss = ray_miss(left.image, right.image, disparity, gsd)
    rows = np.broadcast_to(np.arange(frame.side, dtype=np.float32)[:, None], place.shape)
    columns, rows = frame.to_map(place, rows)
    columns, rows = columns - np.float32(MARGIN), rows - np.float32(MARGIN)
    initial, error = grid_points(columns, rows, [height, miss], size, settings.gridding)
    del disparity, place, height, miss, columns, rows
    where = frame.of_map(MARGIN, size)
    known = look_up(coarse, *where)
    filled = fill_voids(initial - known) + known
    shift = settings.sensor.misregistration
    index = {}
    if ndvi is not None:
        seen = _index(render(dsm, ndvi, coarse, left.slant), settings, rng)
        index["ndvi"] = orthorectify(seen, filled, coarse, where, shift)
    return {
        "dsm": initial,
        "triangulation_error": error,
        "ortho_left": orthorectify(left, filled, coarse, where),
        "ortho_right": orthorectify(right, filled, coarse, where, shift),
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
    elevation = float(np.clip(light.elevation + index * light.higher, 10, 90))
    if index and light.change:
        albedo = _changed(albedo, light.change, rng)
    brightness = illuminate(dsm, albedo, settings.gsd, azimuth, elevation)
    slant = np.tan(np.radians(sensor.incidence[index])) / settings.gsd
    view = render(dsm, brightness, coarse, float(slant))
    jitter = sensor.jitter if index else 0.0
    return View(expose(view.image, sensor.blur, sensor.noise, jitter, rng), view.slant)


def _changed(albedo: Array, change: float, rng: np.random.Generator) -> Array:
    """Return reflectances of another day: other moisture, leaves and things that stand about."""
    field = fractal(albedo.shape, 0.3, rng) + blur(rng.standard_normal(albedo.shape, np.float32), 1)
    field *= np.float32(change / max(float(field.std()), 1e-9))
    return np.asarray(np.clip(albedo * np.exp(field), 0.01, 0.95), np.float32)


def orthorectify(
    view: View, heights: Array, coarse: Array, where: tuple[Array, Array], shift: float = 0.0
) -> Array:
    """Return a view as heights project it: errors of the heights displace the image.

    Parameters
    ----------
    view
        In the frame, on the map of the coarse heights.
    heights
        float32 (rows, columns) of the map in metres, finite.
    coarse
        float32 heights of the frame in metres.
    where
        Columns and rows of the frame at each of the map's pixels.
    shift
        Columns of the frame that the result is out of register.
    """
    columns, rows = where
    x = columns
    for _ in range(4):  # x + slant h0(x) = column + slant h
        x = columns + np.float32(view.slant) * (heights - look_up(coarse, x, rows))
    return look_up(view.image, x + np.float32(shift), rows, np.nan)
