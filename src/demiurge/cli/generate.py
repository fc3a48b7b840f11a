"""``demiurge generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli import common
from demiurge.cli.common import Output


def generate(
    image: Annotated[str, typer.Argument(help="Image raster, or a scene folder.")],
    output: Output,
    prior: Annotated[str | None, typer.Option(help="Coarse elevation model in metres.")] = None,
    bands: Annotated[
        str | None, typer.Option(help="What the bands are, as red=1,green=2,blue=3.")
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(min=0.0001, help="Pixel size in metres of an image without georeference."),
    ] = None,
    nodata: common.NoDataOption = None,
    bundle: common.BundleName = None,
    target: Annotated[str | None, typer.Option(help="dsm, dtm or both; all if left out.")] = None,
    window: common.Window = None,
    overlap: common.Overlap = None,
    batch: common.Batch = 4,
    runtime: common.RuntimeOption = "auto",
    precision: common.PrecisionOption = "auto",
    tta: common.Tta = 1,
    cluster: common.Cluster = None,
    stac: common.Stac = False,
    prior_accuracy: common.PriorAccuracy = None,
    detail: common.Detail = None,
    points: common.PointsFile = None,
    points_crs: common.PointsCrs = None,
    keep_voids: common.KeepVoids = False,
    any_pixel_size: common.AnyPixelSize = False,
    no_reconcile: common.NoReconcile = False,
    overwrite: common.Overwrite = False,
    quiet: common.Quiet = False,
) -> None:
    """Make an elevation surface from one image."""
    from demiurge.predict.api import generate as run

    common.share_memory()
    options = common.options(
        target=target,
        window=window,
        overlap=overlap,
        batch=batch,
        runtime=runtime,
        precision=precision,
        tta=tta,
        cluster=cluster,
        stac=stac,
        prior_accuracy=prior_accuracy,
        detail=detail,
        points=points,
        points_crs=points_crs,
        keep_voids=keep_voids,
        any_pixel_size=any_pixel_size,
        no_reconcile=no_reconcile,
        overwrite=overwrite,
        quiet=quiet,
    )
    surface = run(
        image,
        Path(output),
        prior=prior,
        bands=_bands(bands),
        gsd=gsd,
        nodata=common.nodata(nodata),
        bundle=bundle,
        options=options,
    )
    common.report(surface, quiet)


def _bands(text: str | None) -> dict[str, int] | None:
    """Read ``red=1,green=2``."""
    if text is None:
        return None
    from demiurge.errors import UsageError
    from demiurge.layers import layer

    found = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if not number.strip().isdigit():
            raise UsageError(f"--bands {text}: '{part}' is no band", "write red=1,green=2,blue=3")
        found[layer(name.strip()).name] = int(number)
    return found
