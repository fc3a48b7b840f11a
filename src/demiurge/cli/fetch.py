"""Command ``fetch``."""

from __future__ import annotations

from demiurge.cli.build import command
from demiurge.console import echo, note
from demiurge.fetching.api import fetch as fetch_area
from demiurge.fetching.catalogues import PRODUCTS
from demiurge.fetching.options import FetchOptions
from demiurge.scene.grid import crs_name
from demiurge.scene.scene import Scene
from demiurge.scene.views import describe_views


@command
def fetch(options: FetchOptions) -> None:
    """Download images and a coarse elevation model of an area as a scene."""
    result = fetch_area(**options.subset(FetchOptions))
    if options.quiet:
        return
    scenes = result if isinstance(result, list) else [result]
    if isinstance(result, list):
        uses = [scene.spec.use for scene in scenes if scene.spec is not None]
        echo(
            f"{options.out}: {len(scenes)} of {options.pairs} places, {uses.count('training')} for "
            f"training, {uses.count('validating')} for validation"
        )
    else:
        _describe(str(options.out), result)
    credits = [text for scene in scenes if scene.spec for text in scene.spec.credits]
    for text in dict.fromkeys(credits):
        echo(f"  credit: {text}")
    for product in PRODUCTS.values():
        if product.name in [name.strip() for name in options.what.split(",")]:
            echo(f"  licence: {product.licence}")


def _describe(out: str, scene: Scene) -> None:
    for text in scene.notes:
        note(f"note: {text}")
    rows, columns = scene.shape
    echo(f"{out}: {rows} × {columns} px of {scene.pixel_size:g} m, {crs_name(scene.grid.crs)}")
    echo(f"  layers: {', '.join(scene.layers)}")
    echo(f"  heights: {scene.vertical}")
    for line in describe_views(scene):
        echo(f"  {line}")
