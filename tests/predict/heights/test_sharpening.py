"""Sharpening of priors of unknown accuracy: relief is restored, errors are not amplified."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import make_bundle, terrain, write_raster
from demiurge.arrays import Array
from demiurge.predict.heights.assessment import _safe_share
from demiurge.predict.heights.backprojection import back_project, cells_under, lost_means
from demiurge.predict.heights.sharpening import (
    Sharpening,
    assumed_errors,
    largest_errors,
    share_of,
)

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


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_errors_of_the_heights_are_those_of_the_prior(share: float) -> None:
    assumed = Sharpening(share, 3.0)
    assert assumed.errors == pytest.approx(errors_of(relief(0), noise(3.0), share), rel=0.05)


def lost_of(prior: Array) -> Array:
    return lost_means(prior)[1:-1, 1:-1]


def test_the_smoother_half_of_the_prior_bounds_its_errors() -> None:
    slope = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.float32)
    assert largest_errors([lost_of(slope + noise(3.0))]) == pytest.approx(3, rel=0.1)
    assert largest_errors([lost_of(slope + noise(0.3))]) == pytest.approx(0.3, rel=0.1)
    assert largest_errors([lost_of(means(relief(20.0)))]) > 3, "relief hides small errors"
    rough = noise(2.0)
    rough[: SIDE // 3] = 0
    assert largest_errors([lost_of(rough)]) == pytest.approx(2, rel=0.1), "a lake tells nothing"
    assert largest_errors([lost_of(noise(2.0))[:7, :7]]) == np.inf, "too few blocks"
    void = lost_of(noise(2.0))
    void[::4, ::4] = np.nan
    assert largest_errors([void]) == np.inf


def test_a_safe_share_stays_below_a_share_that_blocks_disagree_on() -> None:
    detail = np.ones(25)
    agreed = np.stack([0.5 * detail, detail], axis=1)
    assert _safe_share(agreed) == pytest.approx(0.5)
    # As on a real place where a mean of 0.49 at reduced resolution was harm at full resolution.
    scatter = 0.49 + 1.3 * np.tile([1, -1, 1, -1, 0], 5)
    assert _safe_share(np.stack([scatter, detail], axis=1)) < 0.05
    few = np.stack([0.43 + 0.36 * np.array([1, -1, 1, -1]), np.ones(4)], axis=1)
    assert _safe_share(few) == 0, "four blocks are little evidence"


def generated(
    folder: Path, prior: Array, accuracy: float | None
) -> tuple[Array, Array, demiurge.Surface]:
    """Return heights and uncertainties over a prior, of a bundle that adds nothing."""
    bundle = make_bundle(
        folder / "n.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[0.0, 0.0], pixel=(5, 20),
    )  # fmt: skip
    pixel = rasterio.Affine(10, 0, 500000, 0, -10, 4000000)
    image = write_raster(
        folder / "i.tif", terrain(SIDE * RATIO, SIDE * RATIO) + 9, names=["red"], transform=pixel
    )
    coarse = write_raster(folder / "p.tif", prior, transform=pixel @ pixel.scale(RATIO))
    surface = demiurge.generate(
        image, folder / "o.tif", prior=coarse, bundle=bundle, prior_accuracy=accuracy
    )
    with rasterio.open(folder / "o.tif") as file:
        heights, uncertainty = file.read()
    return heights, uncertainty, surface


INSIDE = (slice(2 * RATIO, -2 * RATIO),) * 2


@pytest.mark.parametrize(
    ("amplitude", "accuracy", "restored"),
    [
        (0.0, None, 0.0), (400.0, None, 1.0), (0.0, 0.0, 1.0), (0.0, 2.5, 0.0), (400.0, 2.5, 1.0),
        (20.0, 30.0, 0.0),
    ],
)  # fmt: skip
def test_generate_restores_what_exceeds_usual_or_stated_errors(
    tmp_path: Path, amplitude: float, accuracy: float | None, restored: float
) -> None:
    truth = relief(amplitude)
    prior = means(truth) + noise(2.5)
    heights, _, surface = generated(tmp_path, prior, accuracy)
    assert float(surface.tags["prior_means_restored"]) == pytest.approx(restored, abs=0.05)
    said = any("--prior-accuracy states how large they are" in note for note in surface.notes)
    assert said == (float(surface.tags["prior_means_restored"]) < 1)
    own = np.sqrt(np.mean((heights - truth)[INSIDE] ** 2))
    assert own <= 1.001 * errors_of(truth, prior, 0.0) or accuracy == 0


@pytest.mark.parametrize("errors", [0.2, 2.5])
def test_errors_that_the_prior_shows_are_in_the_uncertainty(tmp_path: Path, errors: float) -> None:
    heights, uncertainty, surface = generated(tmp_path, noise(errors), None)
    assumed = float(surface.tags["prior_errors_assumed"].removesuffix(" m"))
    assert assumed == pytest.approx(errors, rel=0.15)
    own = float(np.sqrt(np.mean(heights[INSIDE] ** 2)))
    assert 0.9 * own < float(uncertainty[INSIDE].mean()) < 2 * own
    inside = np.abs(heights) <= uncertainty * np.log(10) / np.sqrt(2)
    assert np.mean(inside[INSIDE]) > 0.85
    assert any(f"assumed to err by {assumed:.2g} m" in note for note in surface.notes)


def test_stated_errors_are_not_assumed(tmp_path: Path) -> None:
    assert "prior_errors_assumed" not in generated(tmp_path, noise(2.5), 2.5)[2].tags
