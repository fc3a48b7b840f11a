"""A stereo scene: a simulated world, two images of it, and the layers of a stereo pipeline."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import Direction
from demiurge.simulation.cover import StereoWorld, build_stereo_world
from demiurge.simulation.filters import blur
from demiurge.simulation.fractal import fractal
from demiurge.simulation.land import make_bare_earth
from demiurge.simulation.light import illuminate
from demiurge.simulation.matching import Matcher, SearchRange, make_matcher
from demiurge.simulation.rendering import (
    EpipolarFrame,
    View,
    coarse_heights,
    expose,
    orthorectify,
    render,
    sample,
)
from demiurge.simulation.settings import StereoSettings
from demiurge.simulation.triangulation import grid_points, triangulate, triangulation_error

#: Margin around the scene in pixels, simulated and cut off to avoid edge effects.
MARGIN = 96
#: Margin around the scene in the epipolar frame in pixels, for objects that lean into it.
_FRAME_MARGIN = 64
#: Share of the scenes with epipolar lines along rows or columns, if drawn.
_QUARTER_TURNS = 0.25
#: Standard deviation of the noise of NDVI.
_NDVI_NOISE = 0.02


def make_world(
    settings: StereoSettings,
    rng: np.random.Generator,
    real_heights: Array | None = None,
    source_gsd: float = 0.0,
) -> StereoWorld:
    """Simulate a place with its margin.

    Parameters
    ----------
    real_heights
        Bare-earth heights of a real place in metres, float32 (size + 2 · MARGIN) a side;
        simulated if None.
    source_gsd
        Pixel size in metres of the file of the real heights.
    """
    side = settings.size + 2 * MARGIN
    land = make_bare_earth(
        (side, side), settings.gsd, settings.terrain, rng, real_heights, source_gsd
    )
    return build_stereo_world(land, settings.gsd, settings.cover, rng)


def simulate_stereo(
    settings: StereoSettings,
    rng: np.random.Generator,
    world: StereoWorld | None = None,
    matcher: Matcher | None = None,
    turn: float | None = None,
) -> dict[str, Array]:
    """Render a stereo pair of a place, match it, and return the layers of a scene.

    Parameters
    ----------
    world
        The place, (size + 2 · MARGIN) pixels a side; simulated if None.
    matcher
        Computes disparities; the one of the settings if None.
    turn
        Angle of the epipolar lines in degrees; see :func:`draw_turn`. Drawn if None.

    Returns
    -------
    Layers by name, all float32 (size, size); NaN for no data, heights in metres.
    """
    world = world or make_world(settings, rng)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    truth = {"truth_dsm": world.dsm[inner].copy(), "truth_dtm": world.dtm[inner].copy()}
    if world.landcover.any():
        truth["landcover"] = world.landcover[inner].astype(np.float32)
    turn = draw_turn(settings, rng) if turn is None else turn
    frame = EpipolarFrame.around(settings.size, _FRAME_MARGIN, world.dsm.shape[0], turn)
    dtm, dsm = frame.from_map(world.dtm), frame.from_map(world.dsm)
    albedo = np.clip(frame.from_map(world.albedo, cubic=True), 0, 1)
    ndvi = None if world.ndvi is None else frame.from_map(world.ndvi)
    del world
    return _stereo_layers(dtm, dsm, albedo, ndvi, settings, frame, rng, matcher) | truth


def views_of(settings: StereoSettings, turn: float) -> tuple[Direction, Direction]:
    """Return the directions to the left and the right sensor of epipolar lines of an angle."""
    angle = np.radians(turn)
    left, right = (
        Direction.from_displacement(float(slant * np.cos(angle)), float(-slant * np.sin(angle)))
        for slant in np.tan(np.radians(settings.sensor.incidence))
    )
    return left, right


def draw_turn(settings: StereoSettings, rng: np.random.Generator) -> float:
    """Return the angle from grid north to the top of the epipolar frame; drawn if not set.

    Degrees clockwise.
    """
    draw, quarters, angle = rng.random(), int(rng.integers(4)), float(rng.uniform(0, 360))
    if settings.sensor.turn is not None:
        return settings.sensor.turn
    return 90.0 * quarters if draw < _QUARTER_TURNS else angle


def _stereo_layers(
    dtm: Array,
    dsm: Array,
    albedo: Array,
    ndvi: Array | None,
    settings: StereoSettings,
    frame: EpipolarFrame,
    rng: np.random.Generator,
    matcher: Matcher | None,
) -> dict[str, Array]:
    """Take two images along the rows of the frame, match them, and project them to the map."""
    gsd, size = settings.gsd, settings.size
    coarse = coarse_heights(dtm, gsd, rng)
    left, right = (_take(dsm, albedo, coarse, settings, i, frame.turn, rng) for i in (0, 1))
    search = SearchRange.of((left.slant - right.slant) * (dsm - coarse), settings.matcher)
    match = matcher or make_matcher(settings.matcher, search)
    disparity = match(left.image, right.image)
    position, height = triangulate(disparity, coarse, left.slant, right.slant)
    error = triangulation_error(left.image, right.image, disparity, gsd)
    rows = np.broadcast_to(np.arange(frame.side, dtype=np.float32)[:, None], position.shape)
    columns, rows = frame.to_map(position, rows)
    columns, rows = columns - np.float32(MARGIN), rows - np.float32(MARGIN)
    initial, error = grid_points(columns, rows, [height, error], size, settings.gridding)
    del disparity, position, height, columns, rows
    pixels = frame.map_pixels(MARGIN, size)
    coarse_on_map = sample(coarse, *pixels)
    filled = fill_voids(initial - coarse_on_map) + coarse_on_map
    shift = settings.sensor.misregistration
    layers = {
        "dsm": initial,
        "triangulation_error": error,
        "ortho_left": orthorectify(left, filled, coarse, pixels),
        "ortho_right": orthorectify(right, filled, coarse, pixels, shift),
    }
    if ndvi is not None:
        view = _take_ndvi(render(dsm, ndvi, coarse, left.slant), settings, rng)
        layers["ndvi"] = orthorectify(view, filled, coarse, pixels, shift)
    return layers


def _take(
    dsm: Array,
    albedo: Array,
    coarse: Array,
    settings: StereoSettings,
    index: int,
    turn: float,
    rng: np.random.Generator,
) -> View:
    """Illuminate, render and expose image 0 (left) or 1 (right)."""
    light, sensor = settings.light, settings.sensor
    azimuth = (light.azimuth + index * light.later - turn) % 360
    elevation = float(np.clip(light.elevation + index * light.higher, 10, 90))
    if index and light.change:
        albedo = _changed(albedo, light.change, rng)
    brightness = illuminate(dsm, albedo, settings.gsd, azimuth, elevation)
    slant = np.tan(np.radians(sensor.incidence[index])) / settings.gsd
    view = render(dsm, brightness, coarse, float(slant))
    jitter = sensor.jitter if index else 0.0
    image = expose(view.image, sensor.blur, sensor.noise, jitter, rng, sensor.saturated)
    return View(image, view.slant)


def _changed(albedo: Array, change: float, rng: np.random.Generator) -> Array:
    """Return the reflectance of another day: moisture, leaves and movable objects differ."""
    field = fractal(albedo.shape, 0.3, rng) + blur(rng.standard_normal(albedo.shape, np.float32), 1)
    field *= np.float32(change / max(float(field.std()), 1e-9))
    return np.asarray(np.clip(albedo * np.exp(field), 0.01, 0.95), np.float32)


def _take_ndvi(view: View, settings: StereoSettings, rng: np.random.Generator) -> View:
    """Return a rendered NDVI at the resolution of the multispectral bands, with noise."""
    occluded = np.isnan(view.image)
    ndvi = np.where(occluded, np.float32(np.nanmean(view.image)), view.image)
    # A square pixel of width w has a standard deviation of w / √12; the optics add about as much.
    ndvi = blur(ndvi, 0.4 * settings.sensor.multispectral)
    ndvi += np.float32(_NDVI_NOISE) * rng.standard_normal(ndvi.shape, np.float32)
    np.clip(ndvi, -1, 1, out=ndvi)
    ndvi[occluded] = np.nan
    return View(np.asarray(ndvi, np.float32), view.slant)
