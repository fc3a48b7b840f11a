"""Which scenes to simulate: checks of the options, and one job per scene."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.errors import ResourceError, UsageError
from demiurge.simulation.settings import (
    OpticalSettings,
    StereoSettings,
    make_optical_settings,
    make_stereo_settings,
)
from demiurge.simulation.styles import STYLES, Family, merged, varied

#: Bytes per pixel of a scene on disk: of the finished scene, and of temporary files.
_BYTES_FINAL, _BYTES_TEMPORARY = 48, 48
#: Settings of ``landscape`` that sum to at most 1.
_SHARES = {"forest", "crops", "town", "water"}


@dataclass(frozen=True)
class RealFiles:
    """Paths of real rasters to simulate from, or None."""

    terrain: str | None = None
    surface: str | None = None
    albedo: str | None = None

    def paths(self) -> list[str]:
        """Return the paths that are given."""
        return [path for path in (self.terrain, self.surface, self.albedo) if path is not None]


@dataclass(frozen=True)
class SceneJob:
    """One scene to simulate."""

    folder: Path
    settings: StereoSettings | OpticalSettings
    style: str
    seed: tuple[int, int]
    real: RealFiles = field(default_factory=RealFiles)
    terrain_only: bool = False
    overwrite: bool = False


def check_options(
    family: str, style: str, sites: int, real: RealFiles, *, terrain_only: bool
) -> None:
    """Raise UsageError if options contradict each other."""
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
        raise UsageError("--terrain-only does not use --surface", "omit one of them")


def plan_jobs(
    output: Path,
    family: Family,
    style: str,
    config: Mapping[str, Any],
    real: RealFiles,
    *,
    sites: int,
    seed: int,
    vary: bool,
    terrain_only: bool,
    overwrite: bool,
) -> list[SceneJob]:
    """Return one job per scene; parameters as of :func:`demiurge.simulation.run.simulate`.

    Raises
    ------
    ConfigError
        If settings are invalid.
    """
    styles = list(STYLES[family]) if style == "mixed" else [style]
    make = make_stereo_settings if family == "stereo" else make_optical_settings
    jobs = []
    for index in range(sites):
        name = styles[index % len(styles)]
        draw = np.random.default_rng((seed, index, 1))
        drawn = varied(family, draw, _latitude(config), name) if vary else {}
        if _stated(config) & _SHARES:  # drawn shares could exceed the area together with these
            for share in _SHARES:
                drawn.get("landscape", {}).pop(share, None)
        content = merged(merged(STYLES[family][name], drawn), config)
        settings = make(content, "simulate")
        folder = output if sites == 1 else output / f"site_{index:03d}"
        jobs.append(SceneJob(folder, settings, name, (seed, index), real, terrain_only, overwrite))
    return jobs


def check_space(jobs: Sequence[SceneJob], parallel: int) -> None:
    """Raise ResourceError if the disk cannot hold the scenes.

    Parameters
    ----------
    parallel
        Number of scenes simulated at the same time.
    """
    sizes = [job.settings.size**2 for job in jobs]
    needed = sum(sizes) * _BYTES_FINAL + max(sizes) * _BYTES_TEMPORARY * parallel
    folder = jobs[0].folder.absolute().parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"{folder}: has {free / 1e9:.2g} GB free, the scenes need about {needed / 1e9:.2g}",
            "free space, or choose fewer --sites or a smaller --size",
        )


def _stated(config: Mapping[str, Any]) -> set[str]:
    """Return the settings of the landscape that the user states."""
    landscape = config.get("landscape")
    return set(landscape) if isinstance(landscape, Mapping) else set()


def _latitude(config: Mapping[str, Any]) -> float | None:
    """Return the latitude that the user states; None if not a number, which is refused later."""
    landscape = config.get("landscape")
    value = landscape.get("latitude") if isinstance(landscape, Mapping) else None
    return float(value) if isinstance(value, int | float) and -90 <= value <= 90 else None
