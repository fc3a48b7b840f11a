"""``demiurge demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is made.")] = Path(
        "demo"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for a few steps only; for tests.")
    ] = False,
) -> None:
    """Run both jobs on real rasters, from files to figures."""
    from demiurge.demo.run import run

    run(output, quick=quick)
