"""Command ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from demiurge.cli.build import command
from demiurge.config import Flag, OptionModel, Overwrite


class DemoOptions(OptionModel):
    """Options of ``demo``."""

    output: Annotated[Path, Flag(short="-o", metavar="FOLDER", path="folder", suffixes=("/",))] = (
        Field(Path("demo"), description="Folder for the results, with a subfolder for each part.")
    )
    learn: bool = Field(False, description="Train networks on real terrain instead; takes minutes.")
    quick: Annotated[bool, Flag(tier="expert")] = Field(
        False, description="With --learn, train for a few steps only; for tests."
    )
    overwrite: Overwrite = False


@command
def demo(options: DemoOptions) -> None:
    """Apply the shipped bundles to a stereo scene and a real image, in seconds."""
    from demiurge.demo.run import run

    run(options.output, learn=options.learn, quick=options.quick, overwrite=options.overwrite)
