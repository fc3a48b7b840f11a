"""Train generate in the west of Rocky Mountain National Park and evaluate it in the east."""

from __future__ import annotations

from pathlib import Path

from demiurge.demo.result import Result
from demiurge.demo.rocky import evaluated, rocky_scenes
from demiurge.model.bundle import default_bundle
from demiurge.training.fit import train

SETTINGS = (
    "chips.size=64",
    "chips.batch=16",
    "chips.per_epoch=320",
    "epochs=12",
    "ema=0.99",
    "augment.diagonal=true",
    "split.axis=y",
    "split.buffer=20",
    "window=128",
)
QUICK = ("epochs=1", "chips.per_epoch=16")


def learn_rocky(folder: Path, *, quick: bool = False) -> Result:
    """Train in the west in a new folder; evaluate in the east, also with the shipped bundle."""
    west, east = rocky_scenes(folder)
    settings = (*SETTINGS, *(QUICK if quick else ()))
    path = folder / "generate.bundle"
    bundle = train([west], path, recipe="generate", changes=settings, quiet=False)
    part = evaluated(
        folder,
        east,
        {
            "demiurge generate, shipped bundle": (default_bundle("generate"), None),
            # The scene is too small to assess the detail of a bundle; this one trained nearby.
            "demiurge generate, trained in the west": (bundle, 1.0),
        },
        "Rocky Mountains, east: heights from a real image and a prior of 1.4 km",
        "It trained on one image, of one park and season.",
    )
    part.files.append(path)
    return part
