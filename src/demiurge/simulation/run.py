"""From settings to scene folders, one or many."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.errors import DataError, ResourceError, UsageError, missing_extra
from demiurge.outputs import check_output, require_ours
from demiurge.paths import PathLike
from demiurge.progress import progress
from demiurge.scene.prepare import SCENE_FILES
from demiurge.scene.spec import SPEC_NAME
from demiurge.simulation.optical_settings import OpticalSettings, make_optical_settings
from demiurge.simulation.settings import Settings, make_settings
from demiurge.simulation.styles import STYLES, Family, merged, varied

#: Bytes that a pixel of a scene takes on disk: its stack, and what it is made from meanwhile.
_BYTES_KEPT, _BYTES_MEANWHILE = 48, 48


@dataclass(frozen=True)
class Real:
    """Real rasters that a scene is to be made of; paths, or None."""

    terrain: str | None = None
    surface: str | None = None
    albedo: str | None = None


@dataclass(frozen=True)
class Site:
    """One scene to make."""

    folder: Path
    settings: Settings | OpticalSettings
    style: str
    seed: tuple[int, int]
    real: Real = field(default_factory=Real)
    terrain_only: bool = False
    overwrite: bool = False


def simulate(
    output: PathLike,
    *,
    family: Family = "stereo",
    style: str = "hills",
    config: Mapping[str, Any] | None = None,
    terrain: PathLike | None = None,
    surface: PathLike | None = None,
    albedo: PathLike | None = None,
    terrain_only: bool = False,
    vary: bool = False,
    sites: int = 1,
    seed: int = 0,
    jobs: int = 1,
    overwrite: bool = False,
    quiet: bool = True,
) -> list[Path]:
    """Simulate scenes with exact truth.

    Parameters
    ----------
    output
        The scene folder; with several sites, a folder that holds them as ``site_000``, ….
    family
        ``stereo``: a pair of images of 0.25 to 2 m, really matched, for refine. ``optical``: one
        multispectral image of 10 to 30 m with a coarse prior, for generate.
    style
        A landscape of :data:`~demiurge.simulation.styles.STYLES`, or ``mixed`` for all in turn.
    config
        Settings over those of the style, nested as in :class:`Settings` or
        :class:`OpticalSettings`.
    terrain
        An elevation model in metres whose land is used instead of a fractal.
    surface
        A real surface, as lidar sees it, taken whole: only light, views and matching are
        simulated. ``terrain`` is its bare earth then, and ``albedo`` an image of it.
    terrain_only
        Stop at the bare earth: a scene with the one layer ``dtm``.
    vary
        Draw light, views, sensor and matcher anew for each scene; ``config`` still counts.
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
    real = Real(*(None if p is None else os.fspath(p) for p in (terrain, surface, albedo)))
    _check_choices(family, style, sites, real, terrain_only)
    config = _with_gsd_of(real, config or {})
    out = Path(output)
    plan = _plan(out, family, style, config, real, sites, seed, vary, terrain_only, overwrite)
    given = [path for path in (real.terrain, real.surface, real.albedo) if path is not None]
    for site in plan:
        check_output(site.folder, overwrite=overwrite, inputs=given)
        require_ours(site.folder, SPEC_NAME, SCENE_FILES)
    _check_space(plan, min(jobs, len(plan)))
    _make_all(plan, jobs, quiet)
    return [site.folder for site in plan]


def _make_all(plan: list[Site], jobs: int, quiet: bool) -> None:
    from demiurge.simulation.site import make_site

    with progress("simulate", len(plan), quiet=quiet, unit="scenes") as advance:
        if jobs == 1 or len(plan) == 1:
            for site in plan:
                make_site(site)
                advance()
        else:
            with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                for _ in pool.map(make_site, plan):
                    advance()


def _check_choices(family: str, style: str, sites: int, real: Real, terrain_only: bool) -> None:
    if family not in STYLES:
        raise UsageError(f"--family is '{family}'", "choose stereo or optical")
    if style not in (*STYLES[family], "mixed"):
        raise UsageError(
            f"--style is '{style}'",
            f"with --family {family}, choose {', '.join(STYLES[family])} or mixed",
        )
    if sites < 1:
        raise UsageError(f"--sites is {sites}", "give 1 or more")
    if real.albedo and not real.surface:
        raise UsageError("--albedo is given without --surface", "give both, or neither")
    if real.surface and family != "stereo":
        raise UsageError("--surface is for --family stereo", "give --terrain instead")
    if real.surface and terrain_only:
        raise UsageError("--terrain-only makes no use of --surface", "leave one of them out")


def _with_gsd_of(real: Real, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the pixel size of a real surface where none is asked for."""
    if real.surface is None or "gsd" in config:
        return config
    from demiurge.simulation.real import surface_pixel, surface_sources

    size = surface_pixel(surface_sources(real.surface, None, None)["surface"][0])
    if size > 2:
        raise DataError(
            f"{real.surface}: its pixels of {size:.3g} m are too coarse for a stereo scene",
            "give a surface of 2 m or finer, or use it as --terrain",
        )
    return {**config, "gsd": max(round(size, 3), 0.25)}


def _plan(
    output: Path,
    family: Family,
    style: str,
    config: Mapping[str, Any],
    real: Real,
    sites: int,
    seed: int,
    vary: bool,
    terrain_only: bool,
    overwrite: bool,
) -> list[Site]:
    names = list(STYLES[family]) if style == "mixed" else [style]
    make = make_settings if family == "stereo" else make_optical_settings
    found = []
    for index in range(sites):
        name = names[index % len(names)]
        drawn = varied(family, np.random.default_rng((seed, index, 1))) if vary else {}
        content = merged(merged(STYLES[family][name], drawn), config)
        settings = make(content, "simulate")
        folder = output if sites == 1 else output / f"site_{index:03d}"
        found.append(Site(folder, settings, name, (seed, index), real, terrain_only, overwrite))
    if sites > 1:
        check_output(output, overwrite=overwrite or output.is_dir())
        output.mkdir(exist_ok=True)
    return found


def _check_space(plan: Iterable[Site], at_once: int) -> None:
    """Raise ResourceError before any work if the disk could not hold the scenes."""
    sizes = [site.settings.size**2 for site in plan]
    needed = sum(sizes) * _BYTES_KEPT + max(sizes) * _BYTES_MEANWHILE * at_once
    folder = next(iter(plan)).folder.absolute().parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"{folder}: has {free / 1e9:.2g} GB free, the scenes need about {needed / 1e9:.2g}",
            "make room, or choose fewer --sites or a smaller --size",
        )
