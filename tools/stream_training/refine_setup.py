"""The recipe and the contract of the shipped `refine`, as this training uses them."""

from __future__ import annotations

from collections.abc import Mapping

from demiurge.model.contract import Contract, Heights, InputLayer
from demiurge.training.recipe import Recipe, load_recipe

#: Share of chips whose base starts from the truth, and of those with smooth noise added.
GOOD_INPUTS, WAVES = 0.2, 0.25
#: Offset and scale by layer, from simulated scenes. Scenes bring their own for images.
_NORMALS = {
    "dsm": (0.0, 1.0),
    "ortho_left": (0.491, 0.284),
    "ortho_right": (0.491, 0.284),
    "ndvi": (0.32, 0.246),
    "triangulation_error": (0.245, 0.257),
}
_SETTINGS = (
    "clean_below=null",
    "ground=[60, 6, 20]",
    "local=64",
    f"augment.good_inputs={GOOD_INPUTS}",
    f"augment.waves={WAVES}",
)


def make_recipe(*changes: str) -> Recipe:
    """Return the recipe `demiurge` with this training's settings, then the changes applied."""
    return load_recipe("demiurge", [*_SETTINGS, *changes])


def make_contract(
    recipe: Recipe, grains: Mapping[str, tuple[float, float] | None] | None = None
) -> Contract:
    """Return the contract between layers and network.

    Parameters
    ----------
    grains
        Roughness of the images over the scenes, by layer; needed only in a bundle.
    """
    layers = []
    for name in recipe.layers:
        offset, scale = _NORMALS[name]
        layers.append(
            InputLayer(
                name=name,
                offset=offset,
                scale=scale,
                normalise="scene" if name.startswith("ortho") else "bundle",
                optional=name in recipe.optional,
                grain=(grains or {}).get(name),
            )
        )
    return Contract(
        layers=layers,
        base=recipe.base,
        targets=recipe.targets,
        ground=recipe.ground,
        local=recipe.local,
        heights=Heights(unit=recipe.heights.unit, scale=recipe.heights.scale),
        shrink=recipe.shrink,
        clean_input=recipe.clean_input,
    )
