"""Commands that apply a bundle: ``refine``, ``generate`` and ``imagine``."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from demiurge.cli.build import command
from demiurge.config import Flag
from demiurge.console import echo, note
from demiurge.outputs import RASTERS
from demiurge.paths import PathLike
from demiurge.predict.options import GenerateOptions, ImagineOptions, RefineOptions

if TYPE_CHECKING:
    from demiurge.predict.surface import Surface

#: Parameter of ``mallopt`` for the number of memory pools, from glibc's malloc.h.
_ARENA_MAX = -8
#: Units of surfaces in the printed summary, if not the unit itself.
_UNITS = {"relative": "(relative, not metres)"}

View = Annotated[
    bool,
    Field(description="Show the rows in the browser as they are finished, and then the result."),
]
Output = Annotated[
    PathLike,
    Flag(short="-o", path="raster", suffixes=(*RASTERS, ".zarr")),
    Field(description="GeoTIFF to write."),
]


class Refine(RefineOptions):
    """Arguments and options of the command."""

    dsm: Annotated[str, Flag(argument=True, path="scene")] = Field(
        description="Initial DSM in metres, a scene folder, or the output folder of another tool."
    )
    output: Output
    view: View = False


class Generate(GenerateOptions):
    """Arguments and options of the command."""

    image: Annotated[str, Flag(argument=True, path="scene")] = Field(
        description="Image raster, or a scene folder."
    )
    output: Output
    view: View = False


class Imagine(ImagineOptions):
    """Arguments and options of the command."""

    heights: Annotated[str, Flag(argument=True, path="scene")] = Field(
        description="Bare-earth heights in metres, or a scene folder."
    )
    output: Output


@command
def refine(options: Refine) -> None:
    """Improve a stereo DSM and derive the bare-earth DTM.

    The shipped bundle corrects errors of stereo matching, fills voids, and leaves accurate heights
    (lidar, drone) unchanged. Bundles trained on raw stereo alone refuse DSMs that are cleaner than
    their training data.
    """
    from demiurge.predict import api

    limit_memory_pools()
    keywords = options.subset(RefineOptions)
    with _shown(options, options.dsm, options.left):
        print_surface(api.refine(options.dsm, options.output, **keywords), options.quiet)


@command
def generate(options: Generate) -> None:
    """Predict an elevation surface from one image.

    With --prior the heights are absolute; without it they are relative unless the bundle learned
    absolute heights or --points are given.
    """
    from demiurge.predict import api

    limit_memory_pools()
    keywords = options.subset(GenerateOptions)
    with _shown(options, options.image, options.prior):
        print_surface(api.generate(options.image, options.output, **keywords), options.quiet)


@command
def imagine(options: Imagine) -> None:
    """Predict an image of terrain from its heights.

    The image shows a plausible appearance of such terrain, not the real one.
    """
    from demiurge.predict import api

    limit_memory_pools()
    keywords = options.subset(ImagineOptions)
    print_surface(api.imagine(options.heights, options.output, **keywords), options.quiet)


def _shown(options: Refine | Generate, *inputs: object) -> AbstractContextManager[None]:
    """Return a context that shows what is written in it, if ``--view`` is given."""
    if not options.view:
        return nullcontext()
    from demiurge.viewer.watch import watched

    return watched([str(path) for path in inputs if path is not None], Path(options.output))


def limit_memory_pools() -> None:
    """Let all threads allocate from one memory pool, if the C library is glibc.

    With a pool per thread, each pool keeps the memory of its largest windows.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def print_surface(surface: Surface, quiet: bool) -> None:
    """Print the notes and a summary of a written surface."""
    if quiet:
        return
    for text in surface.notes:
        note(f"note: {text}")
    rows, columns = surface.grid.shape
    gsd = abs(surface.grid.affine.a)
    known = (1 - surface.unknown) * rows * columns * gsd**2 / 1e6
    lines = [
        f"{surface.path}: {', '.join(surface.bands)}",
        f"  {rows} × {columns} px of {gsd:g} m, {known:.4g} km² with heights",
        f"  {surface.filled} void pixels filled" if surface.filled else "",
        _fit_summary(surface),
        f"  mean uncertainty {surface.uncertainty:.3g} {_UNITS.get(surface.unit, surface.unit)}"
        if surface.uncertainty == surface.uncertainty
        else "",
        f"  {surface.seconds:.1f} s, {surface.megapixels / max(surface.seconds, 1e-9):.2f} Mpx/s, "
        f"peak memory {surface.memory:.0f} MiB",
    ]
    echo("\n".join(line for line in lines if line))


def _fit_summary(surface: Surface) -> str:
    """Return a line on the fit to ground control points; empty without one."""
    fit = surface.fit
    if fit is None:
        return ""
    rejected = f" ({fit.wrong} rejected as outliers)" if fit.wrong else ""
    scale = f"scale {fit.scale:.4g}, " if fit.scale != 1 else ""
    terms = {1: "offset", 3: "offset and plane", 6: "offset and quadratic trend"}[len(fit.trend)]
    known = fit.loo == fit.loo
    loo = f"{fit.loo:.3g} m leave-one-out" if known else "too few points for leave-one-out errors"
    return (
        f"  fitted to {fit.used - fit.wrong} ground control points{rejected}: {scale}{terms} of "
        f"{fit.trend[0]:.4g} m; residuals {fit.rmse:.3g} m, {loo}"
    )
