"""``demiurge demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli.common import Overwrite


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for what is made, a folder a part.")
    ] = Path("demo"),
    learn: Annotated[
        bool, typer.Option("--learn", help="Train both on real terrain instead; minutes.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --learn, for a few steps only; for tests.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Apply the shipped bundles to a stereo scene and to a real image, in seconds."""
    from demiurge.demo.run import run

    run(output, learn=learn, quick=quick, overwrite=overwrite)
