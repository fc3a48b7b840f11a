"""A generate bundle over priors of real places that it was not trained on (image_places.py).

RMSE and slope error of `generate` ($BUNDLE) over those of the bicubic prior, RMSE over that of
sharpening alone (`--detail 0`), the share of the detail that is kept, the share of the pixels in
the 90 % interval, and mean uncertainty over RMSE. Priors are means of the truth, exact or with
independent errors of their pixels, which `generate` does not know. For comparison it also gets
`--prior-accuracy`: 0, and the true one. $RATIOS and $NOISES choose priors.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_least, at_most, data_folder, half_interval, main, print_rows
from demiurge import Options, generate
from demiurge.model.bundle import Bundle, load_bundle
from demiurge.scene.scene import Scene
from image_places import image_and_truth, over_prior, present

Array = np.ndarray

#: Name or file.
BUNDLE = os.environ.get("BUNDLE", "generate")
#: Pixels of the image per pixel of the prior: those of the goals, and others at which nothing may
#: get worse; noise of the prior's pixels in metres.
RATIOS, OTHERS = (3.0, 6.0, 10.0, 20.0), (0.3, 0.5, 1.0, 1.5, 2.0)
NOISES = (0.0, 2.5, 3.0)
QUICK_PLACES, QUICK_RATIOS, QUICK_NOISES = ("chile", "slovenia"), (1.0, 3.0, 10.0), (0.0, 3.0)
#: Side in pixels of the rim that is left out, and metres that are added to both RMSE of a ratio,
#: because an exact prior as fine as the image has no error.
RIM, FLOOR = 8, 0.01
#: RMSE over the prior's that counts as no worse: 1.00, rounded.
NO_WORSE = 1.005
COLUMNS = {
    "prior": "%.2f", "ratio": "%.3f", "sharpened": "%.3f", "exact": "%.3f", "stated": "%.3f",
    "slopes": "%.3f", "detail": "%.2f", "inside": "%.3f", "stated_in": "%.3f",
    "uncertainty": "%.2f",
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Figures of one image over one prior.

    Attributes
    ----------
    place, coarseness, noise
        The place, pixels of the image per pixel of the prior, noise of the prior in metres.
    prior
        RMSE in metres of the bicubic prior.
    ratio, sharpened
        RMSE of ``generate``, and of sharpening alone, over that of the prior.
    exact, stated
        The same of ``generate`` with an accuracy of 0, and with the true one.
    slopes
        RMSE of the slopes over that of the prior's.
    detail
        Share of the network's detail that is added; NaN if the prior is as fine as the image.
    inside, stated_in
        Share of pixels in the 90 % interval; without accuracy, and with the true one.
    uncertainty
        Mean uncertainty over the RMSE.
    """

    place: str
    coarseness: float
    noise: float
    prior: float
    ratio: float
    sharpened: float
    exact: float
    stated: float
    slopes: float
    detail: float
    inside: float
    stated_in: float
    uncertainty: float

    @property
    def gain(self) -> float:
        """Return the RMSE over that of sharpening alone."""
        return self.ratio / self.sharpened


def measure(quick: bool) -> list[Claim]:
    """Errors over the prior's by coarseness and noise of the prior; nothing may get worse."""
    bundle, found = load_bundle(BUNDLE), []
    ratios = _given("RATIOS") or (QUICK_RATIOS if quick else (*RATIOS, *OTHERS))
    noises = _given("NOISES") or (QUICK_NOISES if quick else NOISES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene in _scenes(folder, quick):
            rows = {}
            for ratio in ratios:
                for noise in noises:
                    figures = judged(over_prior(scene, ratio, folder, noise), noise, bundle, folder)
                    one = Figures(scene.name, ratio, noise, **figures)
                    rows[f"{scene.name}, {ratio:g} times, noise {noise:g} m"] = vars(one)
                    found.append(one)
            print_rows(rows, COLUMNS, "place, prior")
    return claims(found) if found else []


def _given(variable: str) -> tuple[float, ...]:
    """Return the numbers of an environment variable."""
    return tuple(float(part) for part in os.environ.get(variable, "").split(",") if part)


def _scenes(folder: Path, quick: bool) -> Iterable[Scene]:
    """Yield the kept-out places without a prior: the first image of each."""
    data = data_folder()
    for place in present(data, "kept out"):
        if not quick or place.name in QUICK_PLACES:
            yield image_and_truth(place, 0, data, folder / "bare")


@dataclass(frozen=True)
class Generated:
    """Heights and uncertainties in metres, float64 (rows, columns), NaN for no data, and tags."""

    heights: Array
    uncertainty: Array
    tags: dict[str, str]

    def inside(self, truth: Array, known: Array) -> float:
        """Return the share in the 90 % interval."""
        errors = np.abs(self.heights - truth)[known]
        return float(np.mean(errors <= half_interval(self.uncertainty[known])))


def judged(scene: Scene, noise: float, bundle: Bundle, folder: Path) -> dict[str, float]:
    """Return errors of heights and slopes, the share of the detail and the intervals."""
    own = generated(scene, bundle, folder)
    detail = float(own.tags.get("detail", "nan"))
    alone = generated(scene, bundle, folder, detail=0.0) if detail > 0 else own
    exact = generated(scene, bundle, folder, prior_accuracy=0.0)
    stated = generated(scene, bundle, folder, prior_accuracy=noise) if noise else exact
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"]).astype(np.float64)
    known = known_pixels(own.heights, prior, truth)
    slopes = [np.hypot(*np.gradient(h, scene.pixel_size)) for h in (own.heights, prior, truth)]
    both = known & np.isfinite(slopes).all(axis=0)
    steep = [_rms((slope - slopes[2])[both]) + FLOOR / 10 for slope in slopes[:2]]
    return {
        "prior": _rms((prior - truth)[known]),
        "ratio": ratio_of(own.heights, prior, truth, known),
        "sharpened": ratio_of(alone.heights, prior, truth, known),
        "exact": ratio_of(exact.heights, prior, truth, known),
        "stated": ratio_of(stated.heights, prior, truth, known),
        "slopes": steep[0] / steep[1],
        "detail": detail,
        "inside": own.inside(truth, known),
        "stated_in": stated.inside(truth, known),
        "uncertainty": float(
            own.uncertainty[known].mean() / (_rms((own.heights - truth)[known]) + FLOOR)
        ),
    }


def known_pixels(heights: Array, prior: Array, truth: Array) -> Array:
    """Return bool (rows, columns): pixels where all are known, without the rim."""
    known = np.isfinite(heights) & np.isfinite(prior) & np.isfinite(truth)
    known[:RIM] = known[-RIM:] = known[:, :RIM] = known[:, -RIM:] = False
    return known


def ratio_of(heights: Array, prior: Array, truth: Array, known: Array) -> float:
    """Return the RMSE over that of the prior."""
    return (_rms((heights - truth)[known]) + FLOOR) / (_rms((prior - truth)[known]) + FLOOR)


def generated(scene: Scene, bundle: Bundle, folder: Path, **options: float) -> Generated:
    """Run ``generate`` and read its result."""
    out = folder / "out.tif"
    chosen = Options(overwrite=True, any_pixel_size=True, **options)
    generate(scene, out, bundle=bundle, options=chosen)
    with rasterio.open(out) as file:
        heights, uncertainty = file.read(masked=True).filled(np.nan).astype(np.float64)
        return Generated(heights, uncertainty, file.tags())


def _rms(errors: Array) -> float:
    return float(np.sqrt(np.mean(np.square(errors)))) if errors.size else float("nan")


def claims(found: Sequence[Figures]) -> list[Claim]:
    """Return the goals over all places, and a summary by coarseness and noise."""
    rows = {}
    for ratio, noise in sorted({(f.coarseness, f.noise) for f in found}):
        here = [f for f in found if (f.coarseness, f.noise) == (ratio, noise)]
        rows[f"{ratio:g} times, noise {noise:g} m"] = {
            **{key: float(np.median([getattr(f, key) for f in here])) for key in COLUMNS},
            "worst": max(f.ratio for f in here),
            "least in": min(f.inside for f in here),
        }
    print_rows(rows, {**COLUMNS, "worst": "%.3f", "least in": "%.3f"}, "medians of the places")
    exact = [f for f in found if not f.noise and f.coarseness in RATIOS]
    fine = [f.ratio for f in exact if f.coarseness <= 6]
    coarse = [f.ratio for f in exact if f.coarseness > 6]
    worst = max(found, key=lambda f: f.ratio)
    judged_priors = [f for f in found if f.coarseness in RATIOS]
    return [
        at_most("exact priors 3 and 6 times coarser: median RMSE over the prior's",
                float(np.median(fine)), "", 0.8),
        at_most("  10 and 20 times coarser", float(np.median(coarse)), "", 0.75),
        at_least("  share of images and priors a tenth better than sharpening alone",
                 float(np.mean([f.gain <= 0.9 for f in exact])), "", 0.5),
        at_most("  worst RMSE over that of sharpening alone", max(f.gain for f in exact), "",
                NO_WORSE),
        at_most("  worst slope error over the prior's", max(f.slopes for f in exact), "", NO_WORSE),
        at_most(f"all priors: worst RMSE over the prior's ({worst.place}, {worst.coarseness:g} "
                f"times, {worst.noise:g} m)", worst.ratio, "", NO_WORSE),
        Claim("  share that gets worse",
              float(np.mean([f.ratio > NO_WORSE for f in found])), ""),
        at_most("  worst with the true accuracy stated", max(f.stated for f in found), "",
                NO_WORSE),
        Claim("  share with --prior-accuracy 0",
              float(np.mean([f.exact > NO_WORSE for f in found])), ""),
        at_least("priors 3 to 20 times coarser: least share in the 90 % interval",
                 min(f.inside for f in judged_priors), "", 0.85),
        Claim("  share of images and priors with 85 to 95 % in it",
              float(np.mean([0.85 <= f.inside <= 0.95 for f in judged_priors])), ""),
        Claim("  median of the mean uncertainty over the RMSE",
              float(np.median([f.uncertainty for f in judged_priors])), ""),
    ]  # fmt: skip


if __name__ == "__main__":
    main(measure)
