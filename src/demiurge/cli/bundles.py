"""Commands ``bundles`` and ``bundle info``."""

from __future__ import annotations

from typing import Annotated

import click
from pydantic import Field

from demiurge.cli.build import command
from demiurge.config import Flag, OptionModel
from demiurge.console import echo, table
from demiurge.model.bundle import card_summary, load_bundle, shipped_bundles


class BundlesOptions(OptionModel):
    """Options of ``bundles``: none."""


class InfoOptions(OptionModel):
    """Options of ``bundle info``."""

    bundle: Annotated[str, Flag(argument=True)] = Field(
        description="Bundle file, or name of a shipped bundle."
    )
    as_json: Annotated[bool, Flag(name="--json")] = Field(
        False, description="Print the complete card as JSON."
    )


@command
def bundles(options: BundlesOptions) -> None:
    """List the shipped bundles and those in $DEMIURGE_BUNDLES."""
    paths = shipped_bundles()
    if not paths:
        echo(
            "No bundle is installed. Train one with demiurge train, and add its folder to "
            "$DEMIURGE_BUNDLES to list it here."
        )
        return
    cards = {name: load_bundle(path).card for name, path in paths.items()}
    table(
        ("bundle", "task", "pixel size", "about"),
        [
            (name, c.task, f"{c.pixel_sizes.low:g} to {c.pixel_sizes.high:g} m", c.about)
            for name, c in cards.items()
        ],
    )


@command
def info(options: InfoOptions) -> None:
    """Print the card of a bundle: inputs, targets, training data and accuracy."""
    card = load_bundle(options.bundle).card
    if options.as_json:
        echo(card.model_dump_json(indent=1))
    else:
        table(("card", "what it means"), card_summary(card))


bundle = click.Group("bundle", commands=[info], help="Print facts about a bundle.")
