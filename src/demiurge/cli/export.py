"""Command ``export``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, note
from demiurge.exports.export import export as write_export
from demiurge.exports.options import ExportOptions


@command
def export(options: ExportOptions) -> None:
    """Write heights as a point cloud (las, laz, ply) or a mesh (glb, obj)."""
    result = write_export(**options.subset(ExportOptions))
    if options.quiet:
        return
    for text in result.notes:
        note(f"note: {text}")
    faces = f", {result.triangles} triangles" if result.triangles else ""
    within = f", vertical error at most {result.tolerance:g} m" if result.tolerance else ""
    echo(f"{options.output}: {result.points} points of {result.pixels} pixels{faces}{within}")
