"""Command ``lidar``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, note
from demiurge.pointclouds.options import LidarOptions
from demiurge.scene.grid import crs_name


@command
def lidar(options: LidarOptions) -> None:
    """Rasterise lidar point clouds to a scene: surface, ground, intensity."""
    from demiurge.pointclouds.lidar import lidar as make_scene

    keywords = options.subset(LidarOptions)
    inputs, output = keywords.pop("inputs"), keywords.pop("output")
    scene = make_scene(inputs, output, **keywords)
    if options.quiet:
        return
    for text in scene.notes:
        note(f"note: {text}")
    rows, columns = scene.shape
    crs = crs_name(scene.grid.crs)
    echo(f"{options.output}: {rows} × {columns} px of {scene.pixel_size:g} m, {crs}")
    echo(f"  layers: {', '.join(scene.layers)}")
    echo(f"  heights: {scene.vertical}")
