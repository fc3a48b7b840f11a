"""``demiurge train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from demiurge.cli.common import Overwrite, Quiet
from demiurge.console import table


def train(
    output: Annotated[Path, typer.Option("--output", "-o", help="Bundle to write.")],
    scenes: Annotated[
        list[Path] | None, typer.Argument(help="Prepared scenes with truth layers.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Shipped recipe or YAML file; else that of --from, or demiurge."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as chips.size=128.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Begin with this encoder's pretrained weights: resnet34, tu-NAME of timm."
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Plan to follow, from demiurge plan; needs no scenes.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=3, help="Cross-validate: stripes per place, one network for each."),
    ] = None,
    stripes: Annotated[
        str, typer.Option(help="vertical, side by side from west to east, or horizontal.")
    ] = "vertical",
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
    log: Annotated[
        Path | None, typer.Option(help="Folder for the table and pictures; else OUTPUT.log.")
    ] = None,
    no_log: Annotated[bool, typer.Option("--no-log", help="Write no such folder.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train on prepared scenes and write a bundle."""
    from demiurge.errors import UsageError
    from demiurge.training.fit import train as run

    if devices != "auto" and not (devices.isdigit() and int(devices) > 0):
        raise UsageError(f"--devices is '{devices}'", "give a number above 0, or auto")
    if stripes not in ("vertical", "horizontal"):
        raise UsageError(f"--stripes is '{stripes}'", "choose vertical or horizontal")
    if encoder is not None:
        settings = [*(settings or []), f"network.encoder={encoder}", "network.pretrained=true"]
    if plan is not None and (folds is not None or settings):
        raise UsageError("--plan has its own places and settings", "edit the plan, or leave it out")
    options: dict[str, Any] = {
        "recipe": recipe,
        "changes": settings or (),
        "begin_from": begin_from,
        "resume": resume,
        "overwrite": overwrite,
        "devices": "auto" if devices == "auto" else int(devices),
        "nodes": nodes,
        "credits": credit or [],
        "log": None if no_log else log or output.with_name(f"{output.name}.log"),
        "quiet": quiet,
    }
    if folds is not None:
        axis = "x" if stripes == "vertical" else "y"
        options["changes"] = [*options["changes"], f"split.axis={axis}"]
        _cross_validate(list(scenes or []), output, folds, options)
        return
    bundle = run(list(scenes or []), output, plan=plan, **options)
    if quiet:
        return
    found = bundle.card.metrics
    typer.echo(f"{output}: {bundle.card.task}, {', '.join(bundle.contract.names)}")
    typer.echo(
        f"  validation: MAE {found['mae']:.3g} m (input {found['input_mae']:.3g} m), "
        f"RMSE {found['rmse']:.3g} m"
    )


def _cross_validate(scenes: list[Path], output: Path, folds: int, options: dict[str, Any]) -> None:
    from demiurge.training.folds import pooled, train_folds

    found = train_folds(scenes, output, folds, **options)
    if options["quiet"]:
        return
    table(
        ("tested by", "MAE", "RMSE", "input MAE", "pixels"),
        [
            (f.bundle, f"{f.mae:.3f} m", f"{f.rmse:.3f} m", f"{f.input_mae:.3f} m", f.pixels)
            for f in [*found, pooled(found)]
        ],
    )
