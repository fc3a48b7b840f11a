"""``demiurge export``."""

from __future__ import annotations

from typing import Annotated

import typer

from demiurge.cli import common
from demiurge.cli.common import Output, Overwrite, Quiet
from demiurge.console import note


def export(
    surface: Annotated[str, typer.Argument(help="Raster of heights.")],
    output: Output,
    band: Annotated[
        int | None, typer.Option(help="Band of the raster, if its description does not tell.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Image that gives the colours.")] = None,
    thin: Annotated[
        float | None,
        typer.Option(help="Metres that heights may be off; what that allows is left out."),
    ] = None,
    nodata: common.NoDataOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write heights as a point cloud (las, laz, ply, xyz) or a mesh (glb, obj)."""
    from demiurge.exports.export import export as run

    found = run(
        surface,
        output,
        band=band,
        image=image,
        tolerance=thin,
        nodata=common.nodata(nodata),
        overwrite=overwrite,
        quiet=quiet,
    )
    if quiet:
        return
    for text in found.notes:
        note(f"note: {text}")
    faces = f", {found.triangles} triangles" if found.triangles else ""
    within = f", heights within {found.tolerance:g} m" if found.tolerance else ""
    typer.echo(f"{output}: {found.points} points of {found.pixels} pixels{faces}{within}")
