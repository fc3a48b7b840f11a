"""``demiurge imagine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli import common
from demiurge.cli.common import Output


def imagine(
    heights: Annotated[str, typer.Argument(help="Bare-earth heights, or a scene folder.")],
    output: Output,
    bundle: Annotated[str, typer.Option("--bundle", help="Bundle of a recipe such as imagine.")],
    window: common.Window = None,
    overlap: common.Overlap = None,
    batch: common.Batch = 4,
    runtime: common.RuntimeOption = "auto",
    precision: common.PrecisionOption = "auto",
    any_pixel_size: common.AnyPixelSize = False,
    overwrite: common.Overwrite = False,
    quiet: common.Quiet = False,
) -> None:
    """Paint the image that land of given heights could show."""
    from demiurge.predict.api import imagine as run

    common.share_memory()
    options = common.options(
        window=window,
        overlap=overlap,
        batch=batch,
        runtime=runtime,
        precision=precision,
        any_pixel_size=any_pixel_size,
        overwrite=overwrite,
        quiet=quiet,
    )
    common.report(run(heights, Path(output), bundle=bundle, options=options), quiet)
