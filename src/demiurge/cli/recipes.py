"""Command ``recipes``."""

from __future__ import annotations

from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field

from demiurge.cli.build import command
from demiurge.config import Flag, OptionModel
from demiurge.console import echo, table


class RecipesOptions(OptionModel):
    """Options of ``recipes``."""

    keys: bool = Field(False, description="List every setting of a recipe with its help.")
    show: Annotated[str | None, Flag(metavar="RECIPE")] = Field(
        None, description="Print a recipe with all its settings."
    )


@command
def recipes(options: RecipesOptions) -> None:
    """List the shipped recipes, or all settings of a recipe."""
    from demiurge.training.recipe import Recipe, load_recipe, shipped_recipes

    if options.show is not None:
        content = load_recipe(options.show).model_dump(mode="json")
        echo(yaml.safe_dump(content, sort_keys=False).rstrip("\n"))
    elif options.keys:
        table(("setting", "default", "about"), settings_of(Recipe))
    else:
        loaded = [load_recipe(name) for name in shipped_recipes()]
        table(("recipe", "task", "about"), [(r.name, r.task, r.about) for r in loaded])


def settings_of(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str]]:
    """Return key, default and help of every setting; keys of nested settings have dots."""
    rows = []
    for name, info in model.model_fields.items():
        nested: Any = info.annotation
        if hasattr(nested, "model_fields"):
            rows += settings_of(nested, f"{prefix}{name}.")
            continue
        value = info.get_default(call_default_factory=True, validated_data={})
        default = "(required)" if info.is_required() else str(value)
        rows.append((prefix + name, default, info.description or ""))
    return rows
