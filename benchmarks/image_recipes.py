"""Recipes of generate on the same scenes with equal chips, on held-out places.

Heights without a prior are judged after the best affine fit, those over a prior as they are. The
mean height and the upsampled prior are the trivial rivals. $ROWS may name some of the rows.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_most, main
from demiurge import Options, generate, open_scene, simulate, train

SEED = 9000
_RGB = ("layers=[dem_prior, red, green, blue]", "optional=[dem_prior]")
#: Row to recipe, changes, and whether the prior is withheld when it is applied.
ROWS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "generate": ("generate", (), False),
    "generate, prior withheld": ("generate", (), True),
    "generate, RGB alone": ("generate", _RGB, False),
    "generate, adversarial 1": ("generate", ("losses.adversarial=1",), False),
    "generate, adversarial 10": ("generate", ("losses.adversarial=10",), False),
    "generate, learned without a prior": (
        "generate",
        ("layers=[red, green, blue, nir]", "optional=[nir]", "base=null", "heights.relative=true"),
        True,
    ),
    # With a prior, windows would be adjusted to it.
    "pix2pix": ("pix2pix", (), True),
}


def measure(quick: bool) -> list[Claim]:
    """RMSE and slope error of every row, of the mean height and of the prior."""
    chosen = [n for n in os.environ.get("ROWS", "").split(";") if n] or list(ROWS)
    epochs, chips = (1, 16) if quick else (8, 240)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size, many, few = (320, 4, 2) if quick else (512, 60, 8)
        common = {"family": "optical", "style": "mixed", "vary": True}
        config = {"size": size, "gsd": 10.0, "prior": {"gsd": 90.0}}
        training = simulate(folder / "training", sites=many, config=config, seed=SEED, **common)
        testing = simulate(folder / "testing", sites=few, config=config, seed=SEED + 1, **common)
        bare = _without_prior(testing, folder)
        figures, made = {}, {}
        for row in chosen:
            recipe, changes, withheld = ROWS[row]
            key = recipe, changes
            if key not in made:
                made[key] = folder / f"{len(made)}.bundle"
                steps = (f"epochs={epochs}", f"chips.per_epoch={chips}")
                train(
                    training, made[key], recipe=recipe, changes=(*steps, *changes), overwrite=True
                )
            figures[row] = _judged(bare if withheld else testing, made[key], folder)
            print(row, *(f"{v:.4g}" for v in figures[row]), flush=True)
        return _claims(figures, *_rivals(testing))


def _claims(
    figures: dict[str, tuple[float, float, float]], mean: float, prior: tuple[float, float]
) -> list[Claim]:
    claims = [
        Claim("RMSE, the mean height", mean, "m"),
        Claim("RMSE, upsampled prior of 90 m", prior[0], "m"),
        Claim("  slope error", prior[1], "deg"),
    ]
    for row, (fitted, absolute, slope) in figures.items():
        claims.append(Claim(f"RMSE after the affine fit, {row}", fitted, "m"))
        if np.isfinite(absolute):
            claims.append(at_most("  without fit, over the prior", absolute / prior[0], "", 0.7))
        claims.append(Claim("  slope error", slope, "deg"))
        if "pix2pix" in figures and np.isnan(absolute) and row != "pix2pix":
            ratio = fitted / figures["pix2pix"][0]
            claims.append(at_most("  after the fit, over pix2pix", ratio, "", 0.8))
    return claims


def _without_prior(places: list[Path], folder: Path) -> list[Path]:
    """Return the same places as plain images, with the truth in separate files."""
    images = []
    for number, path in enumerate(places):
        scene = open_scene(path)
        names = ["red", "green", "blue", "nir", "truth_dtm"]
        planes = scene.read(layers=names)
        out = folder / f"bare_{number}.tif"
        with rasterio.open(
            out, "w", driver="GTiff", count=len(names), dtype="float32", height=scene.shape[0],
            width=scene.shape[1], crs=scene.grid.crs.to_wkt(), transform=scene.grid.affine,
        ) as file:  # fmt: skip
            file.write(planes)
            file.descriptions = names
        images.append(out)
    return images


def _truth(path: Path) -> tuple[np.ndarray, float]:
    if path.suffix == ".tif":
        with rasterio.open(path) as file:
            return file.read(5), float(file.transform.a)
    scene = open_scene(path)
    return scene.read(layers=["truth_dtm"])[0], scene.pixel_size


def _judged(places: list[Path], bundle: Path, folder: Path) -> tuple[float, float, float]:
    """Return RMSE after an affine fit per place, RMSE without fit (NaN if relative), slopes."""
    fitted, absolute, slopes = [], [], []
    for path in places:
        truth, gsd = _truth(path)
        image = path if path.suffix == ".tif" else open_scene(path)
        generate(
            image,
            folder / "out.tif",
            bundle=bundle,
            options=Options(overwrite=True, prior_accuracy=np.inf),
        )
        with rasterio.open(folder / "out.tif") as file:
            heights = file.read(1).astype(np.float64)
            relative = file.tags()["units"] == "relative"
        known = np.isfinite(heights) & np.isfinite(truth)
        line = np.polyfit(heights[known], truth[known], 1)
        fitted.append(np.mean((np.polyval(line, heights[known]) - truth[known]) ** 2))
        absolute.append(np.nan if relative else np.mean((heights[known] - truth[known]) ** 2))
        shown = np.polyval(line, heights) if relative else heights
        slopes.append(_slope_error(shown, truth, gsd))
    rms = [float(np.sqrt(np.mean(values))) for values in (fitted, absolute)]
    return rms[0], rms[1], float(np.mean(slopes))


def _slope_error(heights: np.ndarray, truth: np.ndarray, gsd: float) -> float:
    slopes = [np.degrees(np.arctan(np.hypot(*np.gradient(h, gsd)))) for h in (heights, truth)]
    return float(np.nanmean(np.abs(slopes[0] - slopes[1])))


def _rivals(places: list[Path]) -> tuple[float, tuple[float, float]]:
    mean, prior, slopes = [], [], []
    for path in places:
        scene = open_scene(path)
        coarse, truth = scene.read(layers=["dem_prior", "truth_dtm"]).astype(np.float64)
        mean.append(truth.var())
        prior.append(np.nanmean((coarse - truth) ** 2))
        slopes.append(_slope_error(coarse, truth, scene.pixel_size))
    return (
        float(np.sqrt(np.mean(mean))),
        (float(np.sqrt(np.mean(prior))), float(np.mean(slopes))),
    )


if __name__ == "__main__":
    main(measure)
