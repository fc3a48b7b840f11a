"""Command ``check``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, table
from demiurge.errors import DataError
from demiurge.scene.check import LayerVerdict
from demiurge.scene.check import check as check_scene
from demiurge.scene.open import open_scene
from demiurge.scene.options import CheckOptions
from demiurge.scene.views import describe_views

_COLUMNS = ("layer", "size", "CRS", "unit", "voids", "least", "median", "most", "verdict")


@command
def check(options: CheckOptions) -> None:
    """Check every layer of a scene; report faults and how to correct them."""
    scene = open_scene(options.scene, nodata=options.nodata)
    findings = check_scene(scene)
    rows, columns = scene.shape
    echo(
        f"{scene.name}: {rows} × {columns} px of {scene.pixel_size:g} m, {scene.grid.crs}, "
        f"heights {scene.vertical}"
    )
    for line in describe_views(scene):
        echo(f"  {line}")
    table(
        _COLUMNS,
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
    faults = [f for f in findings if f.verdict is LayerVerdict.FAULT]
    if faults:
        raise DataError(f"scene '{scene.name}', layer '{faults[0].layer}': {faults[0].message}")
