"""Command ``view``."""

from __future__ import annotations

from pathlib import Path

from demiurge.cli.build import command
from demiurge.console import echo, note
from demiurge.viewer.options import ViewOptions
from demiurge.viewer.run import view as view_paths


@command
def view(options: ViewOptions) -> None:
    """Show surfaces and images in the browser: maps, 3D, differences, profiles."""
    values = dict(options)
    result = view_paths(*values.pop("paths"), **values)
    if isinstance(result, Path):
        echo(f"wrote {result}")
        return
    for text in result.notes:
        note(f"note: {text}")
    echo(f"{result.url}  (Ctrl-C stops)")
    try:
        result.wait()
    finally:
        result.close()
