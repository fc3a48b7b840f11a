"""Command ``plan``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, table
from demiurge.training.options import PlanOptions

_COLUMNS = ("scene", "place", "pixel", "size", "relief", "voids", "truth", "used for")


@command
def plan(options: PlanOptions) -> None:
    """Inspect scenes; report the training plan and its cost on this machine."""
    from demiurge.training.fit import plan as make_plan

    result = make_plan(**options.subset(PlanOptions))
    if options.quiet:
        return
    uses: dict[str, set[str]] = {}
    for part in result.parts:
        uses.setdefault(part.scene, set()).add(part.use)
    table(
        _COLUMNS,
        [
            (
                s.name,
                s.place,
                f"{s.pixel_size:g} m",
                f"{s.rows} × {s.columns}",
                "" if s.relief is None else f"{s.relief:.0f} m",
                "" if s.voids is None else f"{s.voids:.1%}",
                ", ".join(f"{n.removeprefix('truth_')} {v:.0%}" for n, v in s.truth.items()),
                ", ".join(sorted(uses.get(s.name, ()))) or "nothing",
            )
            for s in result.scenes
        ],
    )
    recipe = result.settings()
    chips = recipe.chips
    echo(
        f"{recipe.name}: {', '.join(recipe.layers)} → {', '.join(recipe.targets)}; chips of "
        f"{chips.size} px, batches of {chips.batch}, {recipe.epochs} epochs of {chips.per_epoch} "
        "chips"
    )
    if result.cost is not None:
        cost = result.cost
        echo(
            f"  {cost.parameters / 1e6:.2f} million weights, {cost.steps} steps of "
            f"{cost.seconds_per_step:.2f} s: {_duration(cost.hours)}, {cost.memory_mb:.0f} MB a "
            "step"
        )
    for text in result.notes:
        echo(f"  note: {text}")


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} minutes"
