"""Makes one scene folder: simulated planes, brought to a scene as any other raster is."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge._version import __version__
from demiurge.arrays import Array
from demiurge.scene.geotiff import write_planes
from demiurge.scene.grid import snapped_grid, wkt
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import SIMULATION_NAME
from demiurge.simulation import optical, stereo
from demiurge.simulation.landforms import make_land
from demiurge.simulation.real import Place, cut, land_sources, surface_sources, world_of
from demiurge.simulation.run import Site
from demiurge.simulation.settings import Settings

# Made-up land lies anywhere, but each scene has its own place, so that a training can tell that
# they are different places.


def make_site(site: Site) -> Path:
    """Simulate one scene and write its folder."""
    rng = np.random.default_rng(site.seed)
    place = _real_place(site, rng)
    grid = _made_up_grid(site) if place is None else place.grid
    layers, coarse = _layers(site, place, rng)
    del place
    parent = site.folder.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".demiurge-", dir=parent) as temporary:
        files = _written(Path(temporary), grid, layers, coarse)
        layers.clear()
        box = grid.extent.boundingbox
        prepare(
            files,
            site.folder,
            gsd=site.settings.gsd,
            extent=(box.left, box.bottom, box.right, box.top),
            name=site.folder.name,
            jobs=1,
            overwrite=site.overwrite,
            extra={SIMULATION_NAME: yaml.safe_dump(_noted(site), sort_keys=False)},
        )
    return site.folder


def _noted(site: Site) -> dict[str, object]:
    real = {name: None if p is None else Path(p).name for name, p in asdict(site.real).items()}
    return {
        "demiurge": __version__,
        "simulated": True,
        "style": site.style,
        "seed": list(site.seed),
        "files": real,
        "terrain_only": site.terrain_only,
        "settings": site.settings.model_dump(mode="json"),
    }


def _margin(site: Site) -> int:
    return stereo.MARGIN if isinstance(site.settings, Settings) else optical.MARGIN


def _real_place(site: Site, rng: np.random.Generator) -> Place | None:
    real, settings = site.real, site.settings
    if real.surface is not None:
        sources = surface_sources(real.surface, real.terrain, real.albedo)
    elif real.terrain is not None:
        sources = land_sources(real.terrain)
    else:
        return None
    return cut(sources, settings.size, settings.gsd, _margin(site), rng)


def _layers(
    site: Site, place: Place | None, rng: np.random.Generator
) -> tuple[dict[str, Array], dict[str, optical.Coarse]]:
    """Simulate; returns layers on the scene's grid, and layers on coarser grids."""
    settings, margin = site.settings, _margin(site)
    terrain = None if place is None else place.planes.get("terrain")
    known = 0.0 if place is None else place.known
    if site.terrain_only:
        side = settings.size + 2 * margin
        land = make_land((side, side), settings.gsd, settings.terrain, rng, terrain, known)
        return {"dtm": land.heights[margin:-margin, margin:-margin].copy()}, {}
    if not isinstance(settings, Settings):
        made = optical.simulate_optical(settings, rng, terrain, known)
        return made.layers, made.coarse
    if place is not None and "surface" in place.planes:
        world, truth = world_of(place, rng)
        layers = stereo.simulate_stereo(settings, rng, world)
        inner = (slice(margin, -margin), slice(margin, -margin))
        del layers["truth_dtm"]  # the surface itself, where no terrain is given
        return layers | {name: plane[inner].copy() for name, plane in truth.items()}, {}
    world = stereo.make_world(settings, rng, terrain, known)
    return stereo.simulate_stereo(settings, rng, world), {}


def _written(
    folder: Path, grid: GeoBox, layers: dict[str, Array], coarse: dict[str, optical.Coarse]
) -> dict[str, str]:
    """Write rasters as a user would bring them, and return where each layer is."""
    raw = folder / "simulated.tif"
    write_planes(raw, list(layers.values()), wkt(grid), grid.affine)
    files = {name: f"{raw}:{band}" for band, name in enumerate(layers, start=1)}
    for name, found in coarse.items():
        path = folder / f"{name}.tif"
        east, south = found.corner
        corner = Affine.translation(grid.affine.c + east, grid.affine.f - south)
        write_planes(path, [found.plane], wkt(grid), corner * Affine.scale(found.gsd, -found.gsd))
        files[name] = str(path)
    return files


def _made_up_grid(site: Site) -> GeoBox:
    settings = site.settings
    place = near if isinstance(settings, Settings) else far
    crs, left, bottom = place(*site.seed)
    side = settings.size * settings.gsd
    return snapped_grid((left, bottom, left + side, bottom + side), CRS(crs), settings.gsd)


def near(seed: int, index: int) -> tuple[str, float, float]:
    """Return the CRS, left and bottom of a made-up scene of a few kilometres."""
    row = (7 * seed + index // 30) % 350
    return "EPSG:32632", 200_000.0 + 20_000 * (index % 30), 1_000_000.0 + 20_000 * row


def far(seed: int, index: int) -> tuple[str, float, float]:
    """Return the same for one of up to hundreds of kilometres: UTM zones, then rows in them."""
    place = index + 60 * seed
    return f"EPSG:{32601 + place % 60}", 300_000.0, 400_000.0 * (1 + place // 60 % 18)
