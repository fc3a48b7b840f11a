"""Sharpening of priors of unknown accuracy: relief is restored, errors are not amplified."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import make_bundle, terrain, write_raster
from demiurge.arrays import Array
from demiurge.predict.heights.backprojection import back_project, cells_under, lost_means
from demiurge.predict.heights.sharpening import assumed_errors, share_of

#: Pixels of the image per pixel of the prior, pixels of the prior along a side.
RATIO, SIDE = 4, 48


def relief(amplitude: float) -> Array:
    """Return heights that no interpolation reproduces: waves of 4 to 12 pixels of the prior."""
    rows, columns = np.mgrid[: SIDE * RATIO, : SIDE * RATIO] / RATIO
    waves = np.sin(rows / 0.9) + np.sin(columns / 0.8) + 2 * np.sin((rows + columns) / 2)
    return (amplitude * waves).astype(np.float32)


def means(heights: Array) -> Array:
    return heights.reshape(SIDE, RATIO, SIDE, RATIO).mean(axis=(1, 3))


def noise(errors: float) -> Array:
    return np.random.default_rng(3).normal(0, errors, (SIDE, SIDE)).astype(np.float32)


def errors_of(truth: Array, prior: Array, share: float) -> float:
    cells = cells_under(SIDE * RATIO, ((0, 1 / RATIO, 0), (0, 0, 1 / RATIO)))
    interpolated = cells.interpolate(prior, spline=False)
    heights = back_project(np.zeros_like(truth), interpolated, cells, restored=share)
    inside = (slice(2 * RATIO, -2 * RATIO),) * 2
    return float(np.sqrt(np.mean((heights - truth)[inside] ** 2)))


@pytest.mark.parametrize("amplitude", [0.0, 1.0, 3.0, 10.0, 40.0])
def test_the_share_has_about_the_least_error(amplitude: float) -> None:
    truth = relief(amplitude)
    prior = means(truth) + noise(3.0)
    share = share_of(float(np.mean(lost_means(prior)[1:-1, 1:-1] ** 2)), 3.0)
    found = errors_of(truth, prior, share)
    least = min(errors_of(truth, prior, k / 20) for k in range(21))
    assert found <= 1.02 * least
    assert found <= 1.001 * errors_of(truth, prior, 0), "no worse than interpolation"


def test_restoring_everything_would_amplify_errors() -> None:
    flat = relief(0.0)
    assert errors_of(flat, noise(3.0), 1.0) > 1.3 * errors_of(flat, noise(3.0), 0.0)


def test_small_pixels_have_small_errors() -> None:
    assert assumed_errors(90) == assumed_errors(30) == 3
    assert assumed_errors(1) == pytest.approx(0.2)
    assert share_of(0.0, 3.0) == share_of(float("nan"), 3.0) == 0


@pytest.mark.parametrize(
    ("amplitude", "accuracy", "restored"),
    [(0.0, None, 0.0), (400.0, None, 1.0), (0.0, 0.0, 1.0)],
)
def test_generate_restores_what_exceeds_usual_errors(
    tmp_path: Path, amplitude: float, accuracy: float | None, restored: float
) -> None:
    prior = means(relief(amplitude)) + noise(2.5)
    bundle = make_bundle(
        tmp_path / "n.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[0.0, 0.0], pixel=(5, 20),
    )  # fmt: skip
    pixel = rasterio.Affine(10, 0, 500000, 0, -10, 4000000)
    image = write_raster(
        tmp_path / "i.tif", terrain(SIDE * RATIO, SIDE * RATIO) + 9, names=["red"], transform=pixel
    )
    coarse = write_raster(tmp_path / "p.tif", prior, transform=pixel @ pixel.scale(RATIO))
    surface = demiurge.generate(
        image, tmp_path / "o.tif", prior=coarse, bundle=bundle, prior_accuracy=accuracy
    )
    assert float(surface.tags["prior_means_restored"]) == pytest.approx(restored, abs=0.05)
    said = any("--prior-accuracy states how large they are" in note for note in surface.notes)
    assert said == (float(surface.tags["prior_means_restored"]) < 1)
    with rasterio.open(tmp_path / "o.tif") as file:
        heights = file.read(1)
    flat = errors_of(relief(amplitude), prior, 0.0)
    inside = (slice(2 * RATIO, -2 * RATIO),) * 2
    own = np.sqrt(np.mean((heights - relief(amplitude))[inside] ** 2))
    assert own <= 1.001 * flat or accuracy == 0
