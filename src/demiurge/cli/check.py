"""Command ``check``."""

from __future__ import annotations

from pathlib import Path

from demiurge.cli.build import command
from demiurge.console import echo, note, table
from demiurge.errors import DataError, UsageError
from demiurge.scene.check import LayerVerdict
from demiurge.scene.check import check as check_scene
from demiurge.scene.grid import crs_name
from demiurge.scene.levels import describe_heights
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.options import CheckOptions
from demiurge.scene.recognise.folder import is_foreign_folder, recognise
from demiurge.scene.scene import Scene
from demiurge.scene.views import describe_views

_COLUMNS = ("layer", "size", "CRS", "unit", "voids", "least", "median", "most", "verdict")


@command
def check(options: CheckOptions) -> None:
    """Check every layer of a scene; report faults and how to correct them.

    The files of the output folder of another tool are recognised, as by prepare.
    """
    if not is_foreign_folder(options.scene):
        _require_scene(options)
        _print(open_scene(options.scene, nodata=options.nodata))
        return
    with recognise(options.scene, kind=options.kind, source_crs=options.source_crs) as found:
        for text in found.notes:
            note(text)
        name = Path(options.scene).resolve().name
        _print(scene_from_files(found.files, name=name, nodata=options.nodata))


def _require_scene(options: CheckOptions) -> None:
    """Refuse options of folders for a scene."""
    for option, value in (("--as", options.kind), ("--source-crs", options.source_crs)):
        if value is not None:
            raise UsageError(f"{option} has no effect on a scene", f"leave out {option}")


def _print(scene: Scene) -> None:
    """Check a scene and print the findings."""
    findings = check_scene(scene)
    rows, columns = scene.shape
    crs = crs_name(scene.grid.crs)
    echo(
        f"{scene.name}: {rows} × {columns} px of {scene.pixel_size:g} m, {crs}, "
        f"heights {scene.vertical}"
    )
    for line in (*describe_heights(scene), *describe_views(scene)):
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
