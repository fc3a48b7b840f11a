"""From settings to scene folders, one or many."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge._version import __version__
from demiurge.errors import DataError, UsageError, missing_extra
from demiurge.layers import layer
from demiurge.outputs import check_output
from demiurge.progress import progress
from demiurge.scene.grid import Bounds, bounds_in, full_window, is_metric, snapped_grid, utm_of, wkt
from demiurge.scene.open import PathLike
from demiurge.scene.prepare import prepare
from demiurge.scene.source import Source
from demiurge.scene.write import write_planes
from demiurge.simulation.settings import STYLES, Settings, make_settings

Array = npt.NDArray[np.float32]

#: Where made-up land lies: any place in a metric CRS would do, but each scene has its own, so that
#: a training can tell that they are different places.
_CRS, _LEFT, _BOTTOM, _SPACING = "EPSG:32632", 200_000.0, 1_000_000.0, 20_000.0
_COLUMNS, _ROWS = 30, 350


@dataclass(frozen=True)
class Site:
    """One scene to make."""

    folder: Path
    settings: Settings
    style: str
    seed: tuple[int, int]
    terrain: str | None = None
    overwrite: bool = False


def simulate(
    output: PathLike,
    *,
    style: str = "hills",
    config: Mapping[str, Any] | None = None,
    terrain: PathLike | None = None,
    sites: int = 1,
    seed: int = 0,
    jobs: int = 1,
    overwrite: bool = False,
    quiet: bool = True,
) -> list[Path]:
    """Simulate stereo scenes with exact truth.

    Parameters
    ----------
    output
        The scene folder; with several sites, a folder that holds them as ``site_000``, ….
    style
        A landscape of :data:`~demiurge.simulation.settings.STYLES`, or ``mixed`` for all in turn.
    config
        Settings over those of the style, nested as in :class:`Settings`.
    terrain
        An elevation model in metres whose land is used instead of a fractal.
    seed
        Decides all that is random; the same seed gives the same scene.
    jobs
        Processes that work side by side.

    Returns
    -------
    The scene folders.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        One sentence each.
    """
    for module in ("cv2", "numba"):
        try:
            __import__(module)
        except ImportError:
            raise missing_extra(module, "simulate", "simulation") from None
    plan = _plan(Path(output), style, config or {}, terrain, sites, seed, overwrite)
    for site in plan:
        check_output(site.folder, overwrite=overwrite)
    with progress("simulate", len(plan), quiet=quiet, unit="scenes") as advance:
        if jobs == 1 or len(plan) == 1:
            for site in plan:
                make_site(site)
                advance()
        else:
            with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                for _ in pool.map(make_site, plan):
                    advance()
    return [site.folder for site in plan]


def _plan(
    output: Path,
    style: str,
    config: Mapping[str, Any],
    terrain: PathLike | None,
    sites: int,
    seed: int,
    overwrite: bool,
) -> list[Site]:
    if sites < 1:
        raise UsageError(f"--sites is {sites}", "give 1 or more")
    if style not in (*STYLES, "mixed"):
        raise UsageError(f"--style is '{style}'", f"choose {', '.join(STYLES)} or mixed")
    names = list(STYLES) if style == "mixed" else [style]
    if sites > 1:
        check_output(output, overwrite=overwrite or output.is_dir())
        output.mkdir(exist_ok=True)
    place = None if terrain is None else os.fspath(terrain)
    found = []
    for index in range(sites):
        name = names[index % len(names)]
        settings = make_settings(_merged(STYLES[name], config), "simulate")
        folder = output if sites == 1 else output / f"site_{index:03d}"
        found.append(Site(folder, settings, name, (seed, index), place, overwrite))
    return found


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested settings over others."""
    found = dict(base)
    for key, value in over.items():
        inner = found.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            found[key] = _merged(inner, value)
        else:
            found[key] = value
    return found


def make_site(site: Site) -> Path:
    """Simulate one scene and write its folder."""
    from demiurge.simulation.stereo import MARGIN, simulate_stereo

    rng = np.random.default_rng(site.seed)
    size, gsd = site.settings.size, site.settings.gsd
    if site.terrain is None:
        left, bottom = _corner(*site.seed)
        box = (left, bottom, left + size * gsd, bottom + size * gsd)
        grid, terrain = snapped_grid(box, CRS(_CRS), gsd), None
    else:
        grid, terrain = _cut(site.terrain, size, gsd, MARGIN, rng)
    made = simulate_stereo(site.settings, rng, terrain)
    noted = {
        "demiurge": __version__,
        "simulated": True,
        "style": site.style,
        "seed": list(site.seed),
        "terrain_file": None if site.terrain is None else Path(site.terrain).name,
        "settings": site.settings.model_dump(mode="json"),
    }
    parent = site.folder.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".demiurge-", dir=parent) as temporary:
        raw = Path(temporary) / "simulated.tif"
        write_planes(raw, np.stack(list(made.layers.values())), wkt(grid), grid.affine)
        files = {name: f"{raw}:{band}" for band, name in enumerate(made.layers, start=1)}
        prepare(
            files,
            site.folder,
            name=site.folder.name,
            jobs=1,
            overwrite=site.overwrite,
            extra={"simulation.yaml": yaml.safe_dump(noted, sort_keys=False)},
        )
    return site.folder


def _corner(seed: int, index: int) -> tuple[float, float]:
    """Return where a made-up scene lies."""
    row = (7 * seed + index // _COLUMNS) % _ROWS
    return _LEFT + _SPACING * (index % _COLUMNS), _BOTTOM + _SPACING * row


def _cut(
    path: str, size: int, gsd: float, margin: int, rng: np.random.Generator
) -> tuple[GeoBox, Array]:
    """Cut a random place out of an elevation model, with a margin around the scene.

    Raises
    ------
    DataError
        If the model is smaller than the scene, or has voids in the place.
    """
    source = Source.open(path, layer("dem_prior"))
    crs = source.grid.crs if is_metric(source.grid.crs) else utm_of(source.grid)
    whole = bounds_in(source.grid, crs)
    wide = (size + 2 * margin) * gsd
    room = (whole[2] - whole[0] - wide, whole[3] - whole[1] - wide)
    if min(room) < 0:
        raise DataError(
            f"{path}: covers {whole[2] - whole[0]:.0f} × {whole[3] - whole[1]:.0f} m, the scene "
            f"with its margin needs {wide:.0f} m a side",
            "choose a smaller --size or --gsd, or a larger terrain",
        )
    for _ in range(20):
        left = round((whole[0] + rng.random() * room[0]) / gsd) * gsd
        bottom = round((whole[1] + rng.random() * room[1]) / gsd) * gsd
        box: Bounds = (left, bottom, left + wide, bottom + wide)
        grid = snapped_grid(box, crs, gsd)
        heights = source.read(grid, full_window(grid))
        if np.isfinite(heights).all():
            inner = grid[margin:-margin, margin:-margin]
            assert isinstance(inner, GeoBox)
            return inner, heights
    raise DataError(
        f"{path}: no place without voids was found in 20 tries", "fill its voids or crop it"
    )
