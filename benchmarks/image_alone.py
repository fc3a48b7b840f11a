"""Relative heights from one image alone, on real places that the shipped bundle never saw.

Correlation with the truth and RMSE after an affine fit over that of the mean height, for the
default of ``generate`` without a prior (or $BUNDLE) and for the bundle ``generate``, of which the
prior is withheld. $FOLDS adds five folds over the ImageToDEM tiles, with pix2pix, of that many
chips for each training (minutes to hours).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from common import Claim, at_least, at_most, data_folder, main
from demiurge.model.bundle import load_bundle
from demiurge.scene.scene import Scene
from image_folds import compare, judged, tiles, write_tile
from image_places import image_and_truth, present

BUNDLE = os.environ.get("BUNDLE", "generate-relative")
#: Tiles that neither bundle was trained on.
KEPT_OUT = (7,)


def measure(quick: bool) -> list[Claim]:
    """Correlations and errors of both bundles, by place."""
    if os.environ.get("FOLDS") and not quick:
        compare(data_folder(), BUNDLE, int(os.environ["FOLDS"]))
    with tempfile.TemporaryDirectory() as name:
        return _figures(Path(name))


def _figures(folder: Path) -> list[Claim]:
    claims, places = [], _places(folder)
    for name in dict.fromkeys((BUNDLE, "generate")):
        bundle = load_bundle(name)
        figures = {
            place: judged(image, truth, bundle, folder) for place, (image, truth) in places.items()
        }
        correlations = [r for r, _ in figures.values()]
        claims += [
            at_least(f"{name}: median correlation, {len(figures)} images",
                     float(np.median(correlations)), "", 0.5),
            at_most("  share of negative correlations",
                    float(np.mean(np.array(correlations) < 0)), "", 0.1),
            at_most("  median RMSE after the affine fit over the mean height's",
                    float(np.median([e for _, e in figures.values()])), "", 0.85),
            *(Claim(f"  correlation, {place}", r, "") for place, (r, _) in figures.items()),
        ]  # fmt: skip
    return claims


def _places(folder: Path) -> dict[str, tuple[Scene | Path, np.ndarray]]:
    """Return images and true heights by place and date."""
    data = data_folder()
    found: dict[str, tuple[Scene | Path, np.ndarray]] = {}
    for place in present(data, "kept out"):
        for take in range(len(place.takes)):
            scene = image_and_truth(place, take, data, folder / "places")
            found[f"{place.name} {take + 1}"] = scene, scene.read(layers=["truth_dtm"])[0]
    for number, (image, truth) in enumerate(tiles(data)):
        if number in KEPT_OUT:
            path = write_tile(image, None, folder / f"tile_{number}.tif")
            found[f"tile {number}"] = path, truth
    return found


if __name__ == "__main__":
    main(measure)
