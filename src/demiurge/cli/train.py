"""``demiurge train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli.common import Overwrite, Quiet


def train(
    scenes: Annotated[list[Path], typer.Argument(help="Prepared scenes with truth layers.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Bundle to write.")],
    recipe: Annotated[
        str, typer.Option("--recipe", help="Shipped recipe or YAML file.")
    ] = "demiurge",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as chips.size=128.")
    ] = None,
    begin_from: Annotated[
        Path | None, typer.Option("--from", help="Bundle whose weights are trained on.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
    devices: Annotated[str, typer.Option(help="Devices, a number or auto.")] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    overwrite: Overwrite = False,
    credit: Annotated[
        list[str] | None, typer.Option(help="Whom data are owed to; stays in the bundle.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train on prepared scenes and write a bundle."""
    from demiurge.errors import UsageError
    from demiurge.training.fit import train as run

    if devices != "auto" and not (devices.isdigit() and int(devices) > 0):
        raise UsageError(f"--devices is '{devices}'", "give a number above 0, or auto")
    bundle = run(
        list(scenes),
        output,
        recipe=recipe,
        changes=settings or (),
        begin_from=begin_from,
        resume=resume,
        overwrite=overwrite,
        devices="auto" if devices == "auto" else int(devices),
        nodes=nodes,
        credits=credit or [],
        quiet=quiet,
    )
    if quiet:
        return
    found = bundle.card.metrics
    typer.echo(f"{output}: {bundle.card.task}, {', '.join(bundle.contract.names)}")
    typer.echo(
        f"  validation: MAE {found['mae']:.3g} m (input {found['input_mae']:.3g} m), "
        f"RMSE {found['rmse']:.3g} m"
    )
