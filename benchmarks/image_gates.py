"""Limits of generate bundles on real images of places that they were not trained on.

Over a prior no place may get worse: RMSE over the prior's, over exact and noisy priors, without
and with their accuracy stated. Relative heights must correlate with the truth. See gates.py.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demiurge.errors import DataError
from demiurge.layers import PRIOR
from demiurge.model.bundle import Bundle
from gate import Gate
from image_folds import judged
from image_places import Place, image_and_truth, over_prior, present
from image_transfer import NO_WORSE, generated, known_pixels, ratio_of

#: Pixels of the image per pixel of the prior, with the goal and the limit of the median RMSE over
#: that of the exact prior; noise in metres.
RATIOS = {3.0: (0.8, 1.0), 10.0: (0.75, 0.96)}
NOISES = (0.0, 3.0)
#: Goal and limit of the least share of pixels in the 90 % interval.
COVERED = (0.85, 0.83)
#: Goals of relative heights, and limits: the same, because the shipped bundle reaches them.
CORRELATION, NEGATIVE, AFFINE = (0.5, 0.5), (0.1, 0.1), (0.85, 0.85)

Rows = dict[tuple[str, float, float], dict[str, float]]


def measure(bundle: Bundle, data: Path) -> list[Gate]:
    """Measure a bundle on the kept-out images.

    Raises
    ------
    DataError
        If the bundle was trained on all of them.
    """
    names = trained_names(bundle)
    places = [p for p in present(data, "kept out") if not any(_is_of(n, p) for n in names)]
    if not places:
        raise DataError(
            f"{data}: holds no place of image_places.py that the bundle was not trained on",
            "keep some of them out of the training",
        )
    with tempfile.TemporaryDirectory() as folder:
        if bundle.contract.base == PRIOR:
            return prior_gates(over_priors(bundle, places, data, Path(folder)))
        return relative_gates(alone(bundle, places, data, Path(folder)))


def trained_names(bundle: Bundle) -> set[str]:
    """Return the names of the scenes and places that a bundle learned from."""
    provenance = bundle.card.provenance
    scenes = {str(scene.get("name", "")) for scene in provenance.get("scenes", [])}
    return scenes | set(provenance.get("places", {}).get("trained", []))


def _is_of(name: str, place: Place) -> bool:
    return name == place.name or name.startswith(f"{place.name}_")


def over_priors(bundle: Bundle, places: Sequence[Place], data: Path, folder: Path) -> Rows:
    """Return the figures by place, coarseness and noise of the prior, in metres."""
    rows: Rows = {}
    for place in places:
        bare = image_and_truth(place, 0, data, folder / "bare")
        for coarseness in RATIOS:
            for noise in NOISES:
                scene = over_prior(bare, coarseness, folder, noise)
                own = generated(scene, bundle, folder)
                stated = generated(scene, bundle, folder, prior_accuracy=noise)
                prior, truth = scene.read(layers=[PRIOR, "truth_dtm"]).astype(np.float64)
                known = known_pixels(own.heights, prior, truth)
                rows[place.name, coarseness, noise] = {
                    "ratio": ratio_of(own.heights, prior, truth, known),
                    "stated": ratio_of(stated.heights, prior, truth, known),
                    "covered": own.inside(truth, known),
                }
    return rows


def prior_gates(rows: Rows) -> list[Gate]:
    """Return the gates over priors: the worst of each place, medians, intervals."""
    gates = []
    for place in dict.fromkeys(name for name, _, _ in rows):
        here = {key: row for key, row in rows.items() if key[0] == place}
        for kind, text in (("ratio", "nothing stated"), ("stated", "accuracy stated")):
            worst = max(here, key=lambda key: here[key][kind])
            gates.append(
                Gate(f"{place}: RMSE over the prior's, {text}, worst prior ({worst[1]:g} times, "
                     f"noise {worst[2]:g} m)", here[worst][kind], NO_WORSE, NO_WORSE)
            )  # fmt: skip
    for coarseness, (goal, limit) in RATIOS.items():
        values = [row["ratio"] for (_, c, n), row in rows.items() if c == coarseness and not n]
        text = f"exact priors {coarseness:g} times coarser: median RMSE over the prior's"
        gates.append(Gate(text, statistics.median(values), goal, limit))
    least = min(rows, key=lambda key: rows[key]["covered"])
    name = f"share in the 90 % interval, least ({least[0]}, {least[1]:g} times, {least[2]:g} m)"
    return [*gates, Gate(name, rows[least]["covered"], *COVERED, least=True)]


def alone(
    bundle: Bundle, places: Sequence[Place], data: Path, folder: Path
) -> dict[str, tuple[float, float]]:
    """Return correlation and error after the affine fit by place and date."""
    found = {}
    for place in places:
        for take in range(len(place.takes)):
            scene = image_and_truth(place, take, data, folder / "bare")
            truth = scene.read(layers=["truth_dtm"])[0]
            found[f"{place.name} {take + 1}"] = judged(scene, truth, bundle, folder)
    return found


def relative_gates(found: dict[str, tuple[float, float]]) -> list[Gate]:
    """Return the gates of relative heights over all images."""
    correlations = [r for r, _ in found.values()]
    worst = min(found, key=lambda name: found[name][0])
    return [
        Gate(f"correlation with the truth, median of {len(found)} images",
             statistics.median(correlations), *CORRELATION, least=True),
        Gate(f"share of negative correlations (least: {worst}, {found[worst][0]:.2f})",
             sum(not r > 0 for r in correlations) / len(found), *NEGATIVE),
        Gate("RMSE after the affine fit over the mean height's, median",
             statistics.median(e for _, e in found.values()), *AFFINE),
    ]  # fmt: skip
