"""A stereo scene: a world, two takes of it, and what a stereo pipeline makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from demiurge.model.voids import fill_voids
from demiurge.simulation.cover import World, build_world
from demiurge.simulation.light import illuminate
from demiurge.simulation.matching import Matcher, SemiGlobal, grid_points, ray_miss, triangulate
from demiurge.simulation.settings import Settings
from demiurge.simulation.terrain import make_terrain
from demiurge.simulation.views import View, coarse_heights, expose, render

Array = npt.NDArray[np.float32]

#: Pixels around the scene that are made and cut away, so that its edges are like its middle.
MARGIN = 96


@dataclass(frozen=True)
class StereoScene:
    """Layers of a simulated scene, all float32 on one grid; NaN for no data, heights in metres."""

    layers: dict[str, Array]


def simulate_stereo(
    settings: Settings,
    rng: np.random.Generator,
    terrain: Array | None = None,
    matcher: Matcher | None = None,
) -> StereoScene:
    """Make a scene with exact truth.

    Parameters
    ----------
    terrain
        Bare-earth heights in metres, float32 (size + 2 · MARGIN) a side; made if None.
    matcher
        Finds disparities; semi-global matching if None.
    """
    side = settings.size + 2 * MARGIN
    if terrain is None:
        shape = settings.terrain
        relief = shape.steepness * side * settings.gsd
        terrain = make_terrain((side, side), relief, shape.roughness, shape.erosion, rng)
    world = build_world(terrain, settings.gsd, settings.cover, rng)
    # The orbit is turned against the map by quarters, so that no direction is special.
    quarters = int(rng.integers(4))
    turned = _turned(world, quarters)
    made = _take_and_match(turned, settings, 90.0 * quarters, rng, matcher)
    back = {k: np.ascontiguousarray(np.rot90(v, -quarters)) for k, v in made.items()}
    truth = {
        "truth_dsm": world.dsm,
        "truth_dtm": world.dtm,
        "ndvi": world.ndvi,
        "landcover": world.landcover.astype(np.float32),
    }
    inner = slice(MARGIN, -MARGIN)
    return StereoScene({k: v[inner, inner] for k, v in {**back, **truth}.items()})


def _turned(world: World, quarters: int) -> World:
    return World(
        dtm=np.ascontiguousarray(np.rot90(world.dtm, quarters)),
        dsm=np.ascontiguousarray(np.rot90(world.dsm, quarters)),
        landcover=np.ascontiguousarray(np.rot90(world.landcover, quarters)),
        albedo=np.ascontiguousarray(np.rot90(world.albedo, quarters)),
        ndvi=np.ascontiguousarray(np.rot90(world.ndvi, quarters)),
    )


def _take_and_match(
    world: World,
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
    coarse = coarse_heights(world.dtm, gsd, rng)
    left, right = (_take(world, coarse, settings, index, turn, rng) for index in (0, 1))
    match = matcher or SemiGlobal(settings.matcher)
    disparity = match(left.image, right.image)
    place, height = triangulate(disparity, coarse, left.slant, right.slant)
    miss = ray_miss(left.image, right.image, disparity, gsd)
    dsm, error = grid_points(place, height, miss)
    filled = fill_voids(np.where(np.isfinite(dsm), dsm - coarse, np.nan)) + coarse
    return {
        "dsm": dsm,
        "triangulation_error": error,
        "ortho_left": orthorectify(left, filled, coarse),
        "ortho_right": orthorectify(right, filled, coarse, settings.sensor.misregistration),
    }


def _take(
    world: World,
    coarse: Array,
    settings: Settings,
    index: int,
    turn: float,
    rng: np.random.Generator,
) -> View:
    """Light the world at the time of a take, render it, and expose it."""
    light, sensor = settings.light, settings.sensor
    azimuth = (light.azimuth + index * light.later - turn) % 360
    brightness = illuminate(world.dsm, world.albedo, settings.gsd, azimuth, light.elevation)
    slant = np.tan(np.radians(sensor.incidence[index])) / settings.gsd
    view = render(world.dsm, brightness, coarse, float(slant))
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
    rows, columns = np.mgrid[: heights.shape[0], : heights.shape[1]].astype(np.float32)
    x = columns + view.slant * (heights - coarse)
    for _ in range(3):  # x + slant h0(x) = column + slant h
        there = ndimage.map_coordinates(coarse, [rows, x], order=1, mode="nearest")
        x = columns + view.slant * (heights - there)
    hole = np.isnan(view.image)
    image = np.where(hole, np.float32(0), view.image)
    seen = ndimage.map_coordinates(image, [rows, x + shift], order=1, cval=0)
    known = ndimage.map_coordinates((~hole).astype(np.float32), [rows, x + shift], order=1)
    return np.where(known > 0.99, seen, np.nan).astype(np.float32)
