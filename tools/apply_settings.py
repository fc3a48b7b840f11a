"""Give a bundle the settings of a recipe that take effect when it is applied; weights stay.

``python tools/apply_settings.py refine new.bundle --recipe demiurge --reason "…"`` takes shrinkage
and its exception for accurate inputs from the recipe. The card says what was changed and why.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from demiurge.model.bundle import Bundle, load_bundle, save_bundle
from demiurge.training.recipe import Recipe, load_recipe

#: Fields of recipe and contract that do not concern the weights.
SETTINGS = ("shrink", "clean_input")


def with_settings(bundle: Bundle, recipe: Recipe, reason: str) -> Bundle:
    """Return the bundle with the settings of a recipe, and a line on it in the provenance."""
    new = {name: getattr(recipe, name) for name in SETTINGS}
    plain = {name: recipe.model_dump(mode="json")[name] for name in SETTINGS}
    card = bundle.card
    changed = [*card.provenance.get("changed", []), {"settings": plain, "reason": reason}]
    card = card.model_copy(
        update={
            "contract": card.contract.model_copy(update=new),
            "recipe": {**card.recipe, **plain},
            "provenance": {**card.provenance, "changed": changed},
        }
    )
    return Bundle(bundle.path, card)


def main() -> None:
    """Write a bundle from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="file, or name of a shipped one")
    parser.add_argument("output", type=Path)
    parser.add_argument("--recipe", default="demiurge", help="recipe, or its YAML file")
    parser.add_argument("--set", action="append", default=[], help="key=value of the recipe")
    parser.add_argument("--reason", required=True, help="for the card")
    given = parser.parse_args()
    bundle = load_bundle(given.bundle)
    graph, weights = bundle.graph(), bundle.weights()
    changed = with_settings(bundle, load_recipe(given.recipe, given.set), given.reason)
    save_bundle(given.output, changed.card, graph, weights, overwrite=True)


if __name__ == "__main__":
    main()
