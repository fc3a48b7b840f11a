"""``demiurge refine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli import common
from demiurge.cli.common import Output


def refine(
    dsm: Annotated[str, typer.Argument(help="Initial DSM in metres, or a scene folder.")],
    output: Output,
    left: Annotated[
        str | None, typer.Option(help="Left orthoimage, or raw image with RPCs.")
    ] = None,
    right: Annotated[
        str | None, typer.Option(help="Right orthoimage, or raw image with RPCs.")
    ] = None,
    triangulation_error: Annotated[
        str | None, typer.Option("--triangulation-error", help="Triangulation error in metres.")
    ] = None,
    ndvi: Annotated[str | None, typer.Option(help="NDVI, -1 to 1.")] = None,
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
    points: common.PointsFile = None,
    points_crs: common.PointsCrs = None,
    keep_voids: common.KeepVoids = False,
    any_pixel_size: common.AnyPixelSize = False,
    any_input: common.AnyInput = False,
    overwrite: common.Overwrite = False,
    quiet: common.Quiet = False,
) -> None:
    """Make a better DSM and the DTM from a stereo DSM.

    The shipped bundle improves DSMs as a stereo matcher leaves them, fills their voids, and keeps
    accurate heights (lidar, drone) as they are. A bundle trained on raw stereo alone refuses DSMs
    that are too clean for it.
    """
    from demiurge.predict.api import refine as run

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
        points=points,
        points_crs=points_crs,
        keep_voids=keep_voids,
        any_pixel_size=any_pixel_size,
        any_input=any_input,
        overwrite=overwrite,
        quiet=quiet,
    )
    surface = run(
        dsm,
        Path(output),
        left=left,
        right=right,
        triangulation_error=triangulation_error,
        ndvi=ndvi,
        nodata=common.nodata(nodata),
        bundle=bundle,
        options=options,
    )
    common.report(surface, quiet)
