"""``demiurge check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli import common
from demiurge.console import table


def check(
    scene: Annotated[Path, typer.Argument(help="Scene folder or scene.yaml.")],
    nodata: common.NoDataOption = None,
) -> None:
    """Judge every layer of a scene and name the cure of faults."""
    from demiurge.errors import DataError
    from demiurge.scene.check import Verdict
    from demiurge.scene.check import check as run
    from demiurge.scene.open import open_scene

    opened = open_scene(scene, nodata=common.nodata(nodata))
    findings = run(opened)
    rows, columns = opened.shape
    typer.echo(
        f"{opened.name}: {rows} × {columns} px of {opened.pixel_size:g} m, {opened.grid.crs}, "
        f"heights {opened.vertical}"
    )
    table(
        ("layer", "size", "CRS", "unit", "voids", "least", "median", "most", "verdict"),
        [
            (
                f.layer,
                f"{f.size[0]} × {f.size[1]}",
                f.crs,
                f.unit,
                f"{f.voids:.1%}",
                f"{f.low:.5g}",
                f"{f.median:.5g}",
                f"{f.high:.5g}",
                f"{f.verdict}: {f.message}" if f.message else str(f.verdict),
            )
            for f in findings
        ],
    )
    faults = [f for f in findings if f.verdict is Verdict.FAULT]
    if faults:
        first = faults[0]
        raise DataError(f"scene '{opened.name}', layer '{first.layer}': {first.message}")
