"""Options and output that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demiurge.console import note

if TYPE_CHECKING:
    from demiurge.predict.options import Options
    from demiurge.predict.surface import Surface

#: The number of this parameter of ``mallopt``, from glibc's malloc.h.
_ARENA_MAX = -8

#: How reports name the units of surfaces.
_UNITS = {"relative": "(relative, not metres)"}

Output = Annotated[Path, typer.Option("--output", "-o", help="What to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")]
BundleName = Annotated[
    str | None, typer.Option("--bundle", help="Bundle file, or the name of a shipped one.")
]
Window = Annotated[
    int | None, typer.Option("--window", help="Side of a window in pixels, a multiple of 32.")
]
Overlap = Annotated[
    float | None, typer.Option("--overlap", help="Share of a window that neighbours share.")
]
Batch = Annotated[
    int, typer.Option("--batch", min=1, help="Windows worked on at a time; same result.")
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="auto, f32 or bf16; auto is what the bundle allows.")
]
RuntimeOption = Annotated[
    str,
    typer.Option("--runtime", help="auto, openvino, onnxruntime or torch; auto is torch on a GPU."),
]
Tta = Annotated[
    int,
    typer.Option("--tta", help="Orientations of each window to average: 1, 2, 4 or 8."),
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", help="local:N, or tcp://host:port of a Dask scheduler.")
]
Stac = Annotated[bool, typer.Option("--stac", help="Write a STAC item beside the result.")]
PointsFile = Annotated[
    str | None,
    typer.Option("--points", help="Ground points to fit to: CSV, GeoPackage, LAS or LAZ."),
]
PointsCrs = Annotated[
    str | None, typer.Option("--points-crs", help="Their CRS, where the file tells none.")
]
KeepVoids = Annotated[bool, typer.Option("--keep-voids", help="Leave voids of the input void.")]
NoReconcile = Annotated[
    bool,
    typer.Option("--no-reconcile", help="Blend windows of relative heights as they are."),
]
PriorAccuracy = Annotated[
    float | None,
    typer.Option(help="Standard deviation of the prior's own errors in metres; inf to ignore it."),
]
Detail = Annotated[
    float | None,
    typer.Option(
        help="Share of the bundle's detail to keep, 0 to 1; judged on the scene if left out."
    ),
]
AnyPixelSize = Annotated[
    bool, typer.Option("--any-pixel-size", help="Go on outside the bundle's pixel sizes.")
]

AnyInput = Annotated[
    bool, typer.Option("--any-input", help="Go on where the DSM is too clean for the bundle.")
]


NoDataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--nodata",
        metavar="LAYER=VALUE",
        help="A value that is no data though the file does not say so, e.g. dsm=-999; LAYER=none "
        "keeps all values. May be given again.",
    ),
]


def nodata(texts: Sequence[str] | None) -> dict[str, list[float]] | None:
    """Read ``LAYER=VALUE``: values by layer; none of them where ``none`` is given."""
    from demiurge.errors import UsageError

    found: dict[str, list[float]] = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        name, value = name.strip(), value.strip()
        values = found.setdefault(name, [])
        if value.lower() == "none":
            continue
        try:
            values.append(float(value))
        except ValueError:
            raise UsageError(
                f"--nodata {text}: names no layer and value", "write dsm=-999, or dsm=none"
            ) from None
    return found or None


def share_memory() -> None:
    """Let all threads of this process allocate from one pool, where the C library is glibc.

    It would give each its own, and every one would keep what its largest windows have taken.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def options(
    *,
    target: str | None = None,
    window: int | None,
    overlap: float | None,
    batch: int,
    runtime: str,
    precision: str,
    tta: int = 1,
    cluster: str | None = None,
    stac: bool = False,
    points: str | None = None,
    points_crs: str | None = None,
    keep_voids: bool = False,
    any_pixel_size: bool,
    any_input: bool = False,
    no_reconcile: bool = False,
    prior_accuracy: float | None = None,
    detail: float | None = None,
    overwrite: bool,
    quiet: bool,
) -> Options:
    """Return the options as one checked value."""
    from demiurge.predict.options import Options

    return Options(
        target=target,
        window=window,
        overlap=overlap,
        in_flight=batch,
        runtime=runtime,
        precision=precision,
        tta=tta,
        cluster=cluster,
        stac=stac,
        points=points,
        points_crs=points_crs,
        keep_voids=keep_voids,
        any_pixel_size=any_pixel_size,
        any_input=any_input,
        reconcile=not no_reconcile,
        prior_accuracy=prior_accuracy,
        detail=detail,
        overwrite=overwrite,
        quiet=quiet,
    )


def report(surface: Surface, quiet: bool) -> None:
    """Say what was written."""
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
        _fitted(surface),
        f"  mean uncertainty {surface.uncertainty:.3g} {_UNITS.get(surface.unit, surface.unit)}"
        if surface.uncertainty == surface.uncertainty
        else "",
        f"  {surface.seconds:.1f} s, {surface.megapixels / max(surface.seconds, 1e-9):.2f} Mpx/s, "
        f"{surface.memory:.0f} MiB of memory at most",
    ]
    typer.echo("\n".join(line for line in lines if line))


def _fitted(surface: Surface) -> str:
    fit = surface.fit
    if fit is None:
        return ""
    aside = f" ({fit.wrong} set aside as wrong)" if fit.wrong else ""
    scale = f"scale {fit.scale:.4g}, " if fit.scale != 1 else ""
    terms = {1: "offset", 3: "offset and plane", 6: "offset and bent trend"}[len(fit.trend)]
    loo = f"{fit.loo:.3g} m leaving each one out" if fit.loo == fit.loo else "too few to tell more"
    return (
        f"  fitted to {fit.used - fit.wrong} ground points{aside}: {scale}{terms} of "
        f"{fit.trend[0]:.4g} m; residuals {fit.rmse:.3g} m, {loo}"
    )
