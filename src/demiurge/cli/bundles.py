"""``demiurge bundles`` and ``demiurge bundle info``."""

from __future__ import annotations

from typing import Annotated

import typer

from demiurge.console import table

bundle_app = typer.Typer(help="Look into bundles.", no_args_is_help=True, rich_markup_mode=None)


def bundles() -> None:
    """List the shipped bundles and those in $DEMIURGE_BUNDLES."""
    from demiurge.model.bundle import load_bundle, shipped_bundles

    found = shipped_bundles()
    if not found:
        typer.echo(
            "No bundle comes with this version; train one with demiurge train, and put its folder "
            "into $DEMIURGE_BUNDLES to find it here."
        )
        return
    loaded = [(name, load_bundle(path).card) for name, path in found.items()]
    table(
        ("bundle", "task", "pixel size", "about"),
        [
            (name, c.task, f"{c.pixel_sizes.low:g} to {c.pixel_sizes.high:g} m", c.about)
            for name, c in loaded
        ],
    )


@bundle_app.callback()
def _bundle() -> None:
    """Look into bundles."""


@bundle_app.command("info")
def info(
    bundle: Annotated[str, typer.Argument(help="Bundle file, or the name of a shipped one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
) -> None:
    """Print a bundle's card: what it sees, predicts, was trained on, and how good it is."""
    from demiurge.model.bundle import card_summary, load_bundle

    loaded = load_bundle(bundle)
    card = loaded.card
    if as_json:
        typer.echo(card.model_dump_json(indent=1))
        return
    table(("card", "what it means"), card_summary(card))
