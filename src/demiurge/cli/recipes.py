"""``demiurge recipes``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from demiurge.console import table


def recipes(
    keys: Annotated[bool, typer.Option("--keys", help="List every setting with its help.")] = False,
    show: Annotated[str | None, typer.Option(help="Print a recipe with all its settings.")] = None,
) -> None:
    """List the shipped recipes, or all settings."""
    import yaml

    from demiurge.training.recipe import Recipe, load_recipe, shipped_recipes

    if show is not None:
        content = load_recipe(show).model_dump(mode="json")
        typer.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
    elif keys:
        table(("setting", "default", "about"), _keys(Recipe))
    else:
        loaded = [load_recipe(name) for name in shipped_recipes()]
        table(("recipe", "task", "about"), [(r.name, r.task, r.about) for r in loaded])


def _keys(model: Any, prefix: str = "") -> list[tuple[str, str, str]]:
    """Return key, default and help of every setting, nested ones with dots."""
    rows = []
    for name, info in model.model_fields.items():
        inner = getattr(info.annotation, "model_fields", None)
        if inner is not None:
            rows += _keys(info.annotation, f"{prefix}{name}.")
            continue
        default = (
            "(required)" if info.is_required() else str(info.get_default(call_default_factory=True))
        )
        rows.append((prefix + name, default, info.description or ""))
    return rows
