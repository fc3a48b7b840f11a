"""Simulates one scene and writes its folder with the layers of a prepared scene."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import yaml
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge._version import __version__
from demiurge.arrays import Array
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import Direction
from demiurge.scene.geotiff import write_planes
from demiurge.scene.grid import snapped_grid, wkt
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import SIMULATION_NAME
from demiurge.simulation import optical, stereo
from demiurge.simulation.cover import StereoWorld, draw_reflectance, to_albedo
from demiurge.simulation.land import make_bare_earth
from demiurge.simulation.objects import Canvas
from demiurge.simulation.real import Cutout, cut_out, land_sources, surface_sources
from demiurge.simulation.schedule import SceneJob
from demiurge.simulation.settings import OpticalSettings, StereoSettings


@dataclass(frozen=True)
class _Simulated:
    """Layers on the scene's grid, layers with larger pixels, and the directions."""

    layers: dict[str, Array]
    coarse: dict[str, optical.CoarseLayer] = field(default_factory=dict)
    sun: Direction | None = None
    views: tuple[Direction | None, Direction | None] = (None, None)


def simulate_scene(job: SceneJob) -> Path:
    """Simulate one scene and write its folder."""
    rng = np.random.default_rng(job.seed)
    cutout = _real_cutout(job, rng)
    grid = _made_up_grid(job) if cutout is None else cutout.grid
    simulated = _simulate(job, cutout, rng)
    del cutout
    parent = job.folder.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".demiurge-", dir=parent) as temporary:
        files = _write_rasters(Path(temporary), grid, simulated)
        simulated.layers.clear()
        box = grid.extent.boundingbox
        prepare(
            files,
            job.folder,
            gsd=job.settings.gsd,
            extent=(box.left, box.bottom, box.right, box.top),
            name=job.folder.name,
            jobs=1,
            overwrite=job.overwrite,
            extra={SIMULATION_NAME: yaml.safe_dump(_record(job), sort_keys=False)},
            view_left=simulated.views[0],
            view_right=simulated.views[1],
            sun=simulated.sun,
        )
    return job.folder


def _record(job: SceneJob) -> dict[str, object]:
    """Return the content of simulation.yaml."""
    real = {name: None if p is None else Path(p).name for name, p in asdict(job.real).items()}
    return {
        "demiurge": __version__,
        "simulated": True,
        "style": job.style,
        "seed": list(job.seed),
        "files": real,
        "terrain_only": job.terrain_only,
        "settings": job.settings.model_dump(mode="json"),
    }


def _margin(job: SceneJob) -> int:
    return stereo.MARGIN if isinstance(job.settings, StereoSettings) else optical.MARGIN


def _real_cutout(job: SceneJob, rng: np.random.Generator) -> Cutout | None:
    """Cut the scene out of the real rasters, if there are any."""
    real, settings = job.real, job.settings
    if real.surface is not None:
        sources = surface_sources(real.surface, real.terrain, real.albedo)
    elif real.terrain is not None:
        sources = land_sources(real.terrain)
    else:
        return None
    return cut_out(sources, settings.size, settings.gsd, _margin(job), rng)


def _simulate(job: SceneJob, cutout: Cutout | None, rng: np.random.Generator) -> _Simulated:
    settings, margin = job.settings, _margin(job)
    terrain = None if cutout is None else cutout.rasters.get("terrain")
    source_gsd = 0.0 if cutout is None else cutout.source_gsd
    if job.terrain_only:
        side = settings.size + 2 * margin
        land = make_bare_earth(
            (side, side), settings.gsd, settings.terrain, rng, terrain, source_gsd
        )
        return _Simulated({"dtm": land.heights[margin:-margin, margin:-margin].copy()})
    if not isinstance(settings, StereoSettings):
        scene = optical.simulate_optical(settings, rng, terrain, source_gsd)
        return _Simulated(scene.layers, scene.coarse, _sun(settings))
    if cutout is not None and "surface" in cutout.rasters:
        world, truth = real_world(cutout, rng)
        simulated = _simulate_pair(settings, rng, world)
        layers = simulated.layers
        inner = (slice(margin, -margin), slice(margin, -margin))
        del layers["truth_dtm"]  # equals the surface if no terrain is given
        layers |= {name: raster[inner].copy() for name, raster in truth.items()}
        return simulated
    return _simulate_pair(settings, rng, stereo.make_world(settings, rng, terrain, source_gsd))


def _simulate_pair(
    settings: StereoSettings, rng: np.random.Generator, world: StereoWorld
) -> _Simulated:
    turn = stereo.draw_turn(settings, rng)
    layers = stereo.simulate_stereo(settings, rng, world, turn=turn)
    return _Simulated(layers, {}, _sun(settings), stereo.views_of(settings, turn))


def _sun(settings: StereoSettings | OpticalSettings) -> Direction:
    """Return the direction to the sun, of a pair at its left image."""
    return Direction(settings.light.azimuth, settings.light.elevation)


def real_world(cutout: Cutout, rng: np.random.Generator) -> tuple[StereoWorld, dict[str, Array]]:
    """Return a world with a real surface and its image as albedo.

    Parameters
    ----------
    cutout
        With ``surface``, and ``terrain`` and ``albedo`` if known.

    Returns
    -------
    The world with filled voids; and the reference heights with voids. Both include the margin.
    """
    surface = cutout.rasters["surface"]
    terrain = cutout.rasters.get("terrain")
    dsm = fill_voids(surface)
    dtm = dsm if terrain is None else np.minimum(fill_voids(terrain), dsm)
    image = cutout.rasters.get("albedo")
    if image is not None and np.isfinite(image).any():
        albedo = to_albedo(image)
    else:
        albedo, _ = draw_reflectance(Canvas.grass(dsm, float(cutout.grid.affine.a)), rng)
    truth = {"truth_dsm": surface}
    if terrain is not None:
        truth["truth_dtm"] = np.where(np.isnan(surface), np.nan, np.minimum(terrain, surface))
    unknown = np.zeros(dsm.shape, np.uint8)
    return StereoWorld(dtm, dsm, unknown, albedo, None), truth


def _write_rasters(folder: Path, grid: GeoBox, simulated: _Simulated) -> dict[str, str]:
    """Write the layers to temporary GeoTIFFs and return the path of each."""
    layers, coarse = simulated.layers, simulated.coarse
    raw = folder / "simulated.tif"
    write_planes(raw, list(layers.values()), wkt(grid), grid.affine)
    files = {name: f"{raw}:{band}" for band, name in enumerate(layers, start=1)}
    for name, layer in coarse.items():
        path = folder / f"{name}.tif"
        east, south = layer.corner
        corner = Affine.translation(grid.affine.c + east, grid.affine.f - south)
        write_planes(path, [layer.values], wkt(grid), corner * Affine.scale(layer.gsd, -layer.gsd))
        files[name] = str(path)
    return files


def _made_up_grid(job: SceneJob) -> GeoBox:
    """Return a grid at a made-up location.

    Each scene has a different location, so that training can separate places.
    """
    settings = job.settings
    locate = stereo_location if isinstance(settings, StereoSettings) else optical_location
    crs, left, bottom = locate(*job.seed)
    side = settings.size * settings.gsd
    return snapped_grid((left, bottom, left + side, bottom + side), CRS(crs), settings.gsd)


def stereo_location(seed: int, index: int) -> tuple[str, float, float]:
    """Return CRS, left and bottom of a simulated stereo scene; locations are 20 km apart."""
    row = (7 * seed + index // 30) % 350
    return "EPSG:32632", 200_000.0 + 20_000 * (index % 30), 1_000_000.0 + 20_000 * row


def optical_location(seed: int, index: int) -> tuple[str, float, float]:
    """Return CRS, left and bottom of a simulated optical scene, in a UTM zone per scene."""
    number = index + 60 * seed
    return f"EPSG:{32601 + number % 60}", 300_000.0, 400_000.0 * (1 + number // 60 % 18)
