"""``demiurge plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demiurge.cli.common import Overwrite, Quiet
from demiurge.console import table

if TYPE_CHECKING:
    from demiurge.training.plan import Part


def plan(
    scenes: Annotated[list[Path], typer.Argument(help="Prepared scenes with truth layers.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="YAML file to write; train takes it.")
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="Shipped recipe or YAML file.")
    ] = "demiurge",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as chips.size=128.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Look at scenes and say how they would be trained on, and what that costs here."""
    from demiurge.training.fit import plan as run

    changes = settings or ()
    found = run(
        list(scenes), output, recipe=recipe, changes=changes, overwrite=overwrite, quiet=quiet
    )
    if quiet:
        return
    table(
        ("scene", "place", "pixel", "size", "relief", "voids", "truth", "used for"),
        [
            (
                s.name,
                s.place,
                f"{s.pixel_size:g} m",
                f"{s.rows} × {s.columns}",
                "" if s.relief is None else f"{s.relief:.0f} m",
                "" if s.voids is None else f"{s.voids:.1%}",
                ", ".join(f"{n.removeprefix('truth_')} {v:.0%}" for n, v in s.truth.items()),
                _uses(found.parts, s.name),
            )
            for s in found.scenes
        ],
    )
    settled = found.settings()
    chips = settled.chips
    typer.echo(
        f"{settled.name}: {', '.join(settled.layers)} → {', '.join(settled.targets)}; chips of "
        f"{chips.size} px, {chips.batch} a step, {settled.epochs} epochs of {chips.per_epoch}"
    )
    if found.cost is not None:
        cost = found.cost
        typer.echo(
            f"  {cost.parameters / 1e6:.2f} million weights, {cost.steps} steps of "
            f"{cost.seconds_per_step:.2f} s: {_hours(cost.hours)}, {cost.memory_mb:.0f} MB a step"
        )
    for text in found.notes:
        typer.echo(f"  note: {text}")


def _uses(parts: list[Part], name: str) -> str:
    found = sorted({part.use for part in parts if part.scene == name})
    return ", ".join(found) or "nothing"


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} minutes"
