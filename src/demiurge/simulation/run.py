"""``simulate``: from options to scene folders, one or many."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from demiurge.errors import DataError, missing_extra
from demiurge.outputs import check_output, require_replaceable
from demiurge.paths import PathLike
from demiurge.progress import progress
from demiurge.scene.prepare import SCENE_FILES
from demiurge.scene.spec import SPEC_NAME
from demiurge.simulation.real import surface_gsd
from demiurge.simulation.schedule import RealFiles, SceneJob, check_options, check_space, plan_jobs
from demiurge.simulation.styles import Family


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
    """Simulate scenes with exact reference heights.

    Parameters
    ----------
    output
        Scene folder; with several sites, the folder of the scenes ``site_000``, ….
    family
        ``stereo``: a stereo pair of 0.25 to 2 m and its matched DSM, for refine. ``optical``: one
        multispectral image of 10 to 30 m with a coarse prior, for generate.
    style
        A landscape of :data:`~demiurge.simulation.styles.STYLES`, or ``mixed`` for all in turn.
    config
        Settings that override those of the style, nested as in
        :class:`~demiurge.simulation.settings.StereoSettings` or
        :class:`~demiurge.simulation.settings.OpticalSettings`.
    terrain
        Elevation model in metres that replaces the fractal terrain.
    surface
        Real surface (lidar DSM). Only light, views and matching are simulated; ``terrain`` is its
        bare earth, and ``albedo`` an image of it.
    terrain_only
        Write the bare earth only, as the layer ``dtm``.
    vary
        Draw random light, views, sensor and matcher for each scene; ``config`` overrides them.
    sites
        Number of scenes.
    seed
        Seed of all random choices; the same seed gives the same scene.
    jobs
        Number of parallel processes.

    Returns
    -------
    The scene folders.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        If options, settings, free space or input rasters do not allow the simulation.
    """
    for module in ("cv2", "numba"):
        try:
            __import__(module)
        except ImportError:
            raise missing_extra(module, "simulate", "simulation") from None
    real = RealFiles(*(None if p is None else os.fspath(p) for p in (terrain, surface, albedo)))
    check_options(family, style, sites, real, terrain_only=terrain_only)
    folder = Path(output)
    plan = plan_jobs(
        folder, family, style, _with_surface_gsd(real, config or {}), real, sites=sites, seed=seed,
        vary=vary, terrain_only=terrain_only, overwrite=overwrite,
    )  # fmt: skip
    if sites > 1:
        check_output(folder, overwrite=overwrite or folder.is_dir())
        folder.mkdir(exist_ok=True)
    for job in plan:
        check_output(job.folder, overwrite=overwrite, inputs=real.paths())
        require_replaceable(job.folder, SPEC_NAME, SCENE_FILES)
    check_space(plan, min(jobs, len(plan)))
    _simulate_all(plan, jobs, quiet)
    return [job.folder for job in plan]


def _simulate_all(plan: list[SceneJob], jobs: int, quiet: bool) -> None:
    # Needs the extra "simulate".
    from demiurge.simulation.site import simulate_scene

    with progress("simulate", len(plan), quiet=quiet, unit="scenes") as advance:
        if jobs == 1 or len(plan) == 1:
            for job in plan:
                simulate_scene(job)
                advance()
        else:
            with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                for _ in pool.map(simulate_scene, plan):
                    advance()


def _with_surface_gsd(real: RealFiles, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Default to the pixel size of a real surface."""
    if real.surface is None or "gsd" in config:
        return config
    size = surface_gsd(real.surface)
    if size > 2:
        raise DataError(
            f"{real.surface}: its pixels of {size:.3g} m are too coarse for a stereo scene",
            "give a surface of 2 m or finer, or use it as --terrain",
        )
    return {**config, "gsd": max(round(size, 3), 0.25)}
