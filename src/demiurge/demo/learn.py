"""Generate, learned: trained in the west of Rocky Mountain National Park, judged in the east."""

from __future__ import annotations

from pathlib import Path

from demiurge.demo.rocky import judged, rocky_scenes
from demiurge.demo.run import Part
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


def learn_rocky(folder: Path, *, quick: bool = False) -> Part:
    """Train in the west, in a fresh folder, and judge in the east beside the bundle that ships."""
    west, east = rocky_scenes(folder)
    settings = (*SETTINGS, *(QUICK if quick else ()))
    path = folder / "generate.bundle"
    bundle = train([west], path, recipe="generate", changes=settings, quiet=False)
    part = judged(
        folder,
        east,
        {
            "demiurge generate, bundle that ships": (default_bundle("generate"), None),
            # The scene is too small to judge a bundle; this one learned next door.
            "demiurge generate, learned in the west": (bundle, 1.0),
        },
        "Rocky Mountains, east: heights from a real image and a prior of 1.4 km",
        "It learned from one image: it knows this park in this season alone.",
    )
    part.files.append(path)
    return part
