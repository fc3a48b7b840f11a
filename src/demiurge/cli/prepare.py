"""Command ``prepare``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, note
from demiurge.scene.grid import crs_name
from demiurge.scene.options import PrepareOptions
from demiurge.scene.prepare import prepare as prepare_scene
from demiurge.scene.recognise.folder import name_files
from demiurge.scene.views import describe_views


@command
def prepare(options: PrepareOptions) -> None:
    """Resample rasters to one grid and write a scene folder.

    Of the output folder of another tool (Ames Stereo Pipeline, CARS, s2p, MicMac, SETSM, Metashape,
    OpenDroneMap, Google Earth Engine), the files are recognised.
    """
    keywords = options.subset(PrepareOptions)
    inputs = (keywords.pop(name) for name in ("inputs", "kind", "source_crs"))
    with name_files(*inputs) as found:
        if not options.quiet:
            for text in found.notes:
                note(text)
        scene = prepare_scene(found.files, **keywords)
    if options.quiet:
        return
    for text in scene.notes:
        note(f"note: {found.shown(text)}")
    rows, columns = scene.shape
    crs = crs_name(scene.grid.crs)
    echo(f"{options.out}: {rows} × {columns} px of {scene.pixel_size:g} m, {crs}")
    echo(f"  layers: {', '.join(scene.layers)}")
    echo(f"  heights: {scene.vertical}")
    for line in describe_views(scene):
        echo(f"  {line}")
