"""Command ``prepare``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, note
from demiurge.scene.bands import name_inputs
from demiurge.scene.grid import crs_name
from demiurge.scene.options import PrepareOptions
from demiurge.scene.prepare import prepare as prepare_scene
from demiurge.scene.views import describe_views


@command
def prepare(options: PrepareOptions) -> None:
    """Resample rasters to one grid and write a scene folder."""
    keywords = options.subset(PrepareOptions)
    scene = prepare_scene(name_inputs(keywords.pop("inputs")), **keywords)
    if options.quiet:
        return
    for text in scene.notes:
        note(f"note: {text}")
    rows, columns = scene.shape
    crs = crs_name(scene.grid.crs)
    echo(f"{options.out}: {rows} × {columns} px of {scene.pixel_size:g} m, {crs}")
    echo(f"  layers: {', '.join(scene.layers)}")
    echo(f"  heights: {scene.vertical}")
    for line in describe_views(scene):
        echo(f"  {line}")
