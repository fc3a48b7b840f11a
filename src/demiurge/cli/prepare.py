"""``demiurge prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli import common
from demiurge.cli.common import Overwrite, Quiet
from demiurge.console import note


def prepare(
    inputs: Annotated[
        list[str],
        typer.Argument(help="LAYER=FILE[:BAND], or files whose bands say what they are."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Scene folder to make.")],
    gsd: Annotated[float | None, typer.Option(help="Pixel size in metres.")] = None,
    crs: Annotated[str | None, typer.Option(help="CRS in metres, as EPSG:32633.")] = None,
    extent: Annotated[
        str,
        typer.Option(
            help="intersection or union of the inputs, a raster, or left,bottom,right,top."
        ),
    ] = "intersection",
    equalise: Annotated[
        bool, typer.Option(help="Equalise the contrast of panchromatic orthos.")
    ] = True,
    nodata: common.NoDataOption = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads that read.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Bring rasters to one grid and write a scene folder."""
    from demiurge.scene.bands import name_inputs
    from demiurge.scene.grid import crs_name
    from demiurge.scene.prepare import prepare as run

    scene = run(
        name_inputs(inputs),
        output,
        gsd=gsd,
        crs=crs,
        extent=extent,
        equalise=equalise,
        nodata=common.nodata(nodata),
        jobs=jobs,
        overwrite=overwrite,
        quiet=quiet,
    )
    if quiet:
        return
    for text in scene.notes:
        note(f"note: {text}")
    rows, columns = scene.shape
    typer.echo(
        f"{output}: {rows} × {columns} px of {scene.pixel_size:g} m, {crs_name(scene.grid.crs)}"
    )
    typer.echo(f"  layers: {', '.join(scene.layers)}")
    typer.echo(f"  heights: {scene.vertical}")
