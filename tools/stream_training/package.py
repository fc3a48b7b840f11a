"""Make a bundle of trained weights: export, calibrate on held-out scenes, write.

``python package.py OUT/mean.safetensors VALID/scenes refine.bundle``
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file

from demiurge.layers import PANCHROMATIC
from demiurge.model.bundle import Bundle, Card, WindowPlan, save_bundle
from demiurge.model.network import build_network
from demiurge.scene.grid import full_window
from demiurge.scene.open import open_scene
from demiurge.scene.scene import Scene
from demiurge.scene.spec import SPEC_NAME
from demiurge.training.dataset import ValidationChips
from demiurge.training.package import card_of
from demiurge.training.package import package as package_network
from demiurge.training.split import Region
from places import TRAINED, VALIDATED, credits
from refine_setup import make_contract, make_recipe

#: Pixel sizes in metres that the scenes of the training have.
PIXEL_SIZES = {"low": 0.3, "high": 2.0}


def package(
    weights: Path, scenes: Sequence[Scene], output: Path, *changes: str, overlap: float | None
) -> Bundle:
    """Write the bundle.

    Parameters
    ----------
    weights
        Weights of train.py, with its JSON note next to them.
    scenes
        Held-out scenes for calibration and validation.
    changes
        Settings of the recipe, such as ``shrink=0.25``.
    overlap
        Share of a window by which windows overlap; from the measured receptive field if None.
    """
    note = json.loads(weights.with_name(weights.name + ".json").read_text())
    chips = [f"chips.size={note['size']}", f"chips.batch={note['batch']}"]
    augment = [f"augment.good_inputs={note['good']}", f"augment.waves={note['waves']}"]
    recipe = make_recipe(*chips, *augment, *changes)
    contract = make_contract(recipe, {name: grain(name, scenes) for name in PANCHROMATIC})
    network = build_network(recipe.network, contract.channels, contract.outputs)
    network.load_state_dict(load_file(weights))
    network.eval()
    card = described(card_of(scenes, recipe, contract, [], note["seconds"]), note)
    regions = [Region(scene, full_window(scene.grid)) for scene in scenes]
    with tempfile.TemporaryDirectory() as work:
        chips = ValidationChips(regions, recipe, contract)
        bundle = package_network(output, card, network, chips, Path(work))
    if overlap is None:
        return bundle
    plan = WindowPlan(size=bundle.card.window.size, overlap=overlap)
    card = bundle.card.model_copy(update={"window": plan})
    return save_bundle(output, card, bundle.graph(), bundle.weights(), overwrite=True)


def grain(name: str, scenes: Sequence[Scene]) -> tuple[float, float] | None:
    """Return the range of an image's roughness over the scenes."""
    values = [scene.grain(name) for scene in scenes if name in scene.layers]
    known = [value for value in values if value is not None]
    return (round(min(known), 4), round(max(known), 4)) if known else None


def described(card: Card, note: dict[str, object]) -> Card:
    """Return the card with places, credits and training."""
    training = {
        **{key: note[key] for key in ("steps", "chips", "batch", "rate", "scenes", "device")},
        "chip_size": note["size"],
        "data": "scenes simulated while training: takes of the trained places and of made-up land, "
        "about three in five of real places",
    }
    places = {
        "trained": [place.name for place in TRAINED],
        "validated": [*(place.name for place in VALIDATED), "made-up land"],
    }
    truth = {"truth_dsm": "dsm.tif", "truth_dtm": "dtm.tif"}
    provenance = {
        **card.provenance,
        "scenes": [{"name": place.name, "sources": truth} for place in TRAINED],
        "credits": credits(),
        "places": places,
        "training": training,
    }
    sizes = card.pixel_sizes.model_copy(update=PIXEL_SIZES)
    return card.model_copy(
        update={"name": "refine", "pixel_sizes": sizes, "provenance": provenance}
    )


def main() -> None:
    """Write a bundle from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="mean.safetensors of train.py")
    parser.add_argument("scenes", type=Path, help="folder of scene folders of validate.py")
    parser.add_argument("output", type=Path, help="bundle; must not exist")
    parser.add_argument("--window", type=int, default=256, help="pixels a side when applied")
    parser.add_argument("--overlap", type=float, default=0.25, help="share of a window")
    parser.add_argument("--shrink", type=float, default=0.25, help="soft threshold")
    given = parser.parse_args()
    folders = sorted(path.parent for path in given.scenes.rglob(SPEC_NAME))
    if not folders:
        raise SystemExit(f"{given.scenes}: there is no scene; make some with validate.py")
    scenes = [open_scene(folder) for folder in folders]
    changes = (f"window={given.window}", f"shrink={given.shrink}")
    bundle = package(given.weights, scenes, given.output, *changes, overlap=given.overlap)
    figures = {k: v for k, v in bundle.card.metrics.items() if k != "history"}
    print(figures, bundle.contract.calibration, bundle.card.window)


if __name__ == "__main__":
    main()
