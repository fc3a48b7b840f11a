"""A DSM too clean for a bundle is refused with a cure that works."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from conftest import make_bundle, terrain
from demiurge.errors import DataError
from demiurge.model.bundle import Bundle
from demiurge.model.clean import CleanInput
from demiurge.predict.api import refine
from demiurge.predict.options import Options

Write = Callable[..., Path]


def for_stereo(tmp_path: Path, **changes: object) -> Bundle:
    bundle = make_bundle(tmp_path / "a.bundle", **changes)  # type: ignore[arg-type]
    return replace(bundle, card=bundle.card.model_copy(update={"clean_below": 3.1}))


@pytest.fixture
def clean(raster: Write) -> Path:
    """Flat land under white noise of centimetres, and boxes with sharp edges."""
    rng = np.random.default_rng(0)
    heights = rng.normal(100, 0.05, (160, 192)).astype(np.float32)
    for row, column in rng.integers(0, 140, (25, 2)):
        heights[row : row + 12, column : column + 15] += rng.uniform(3, 12)
    return raster("clean.tif", heights)


def test_a_clean_dsm_is_refused_with_a_cure(clean: Path, tmp_path: Path) -> None:
    bundle = for_stereo(tmp_path)
    with pytest.raises(DataError, match="made for raw stereo") as caught:
        refine(clean, tmp_path / "o.tif", bundle=bundle)
    assert "--any-input" in str(caught.value)
    assert not (tmp_path / "o.tif").exists()
    surface = refine(clean, tmp_path / "o.tif", bundle=bundle, options=Options(any_input=True))
    assert any("lose height" in note for note in surface.notes)


def test_the_bare_earth_of_a_clean_dsm_is_predicted(clean: Path, tmp_path: Path) -> None:
    bundle = for_stereo(tmp_path, targets=("dsm", "dtm"))
    surface = refine(clean, tmp_path / "o.tif", bundle=bundle, options=Options(target="dtm"))
    assert surface.bands == ("dtm", "dtm_uncertainty")


def test_bundles_without_a_limit_accept_any_dsm(clean: Path, tmp_path: Path) -> None:
    surface = refine(clean, tmp_path / "o.tif", bundle=make_bundle(tmp_path / "b.bundle"))
    assert not any("raw stereo" in note for note in surface.notes)


def test_stereo_is_accepted_with_a_warning_without_images(raster: Write, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 2, (160, 192))
    heights = terrain() + ndimage.gaussian_filter(noise, 1.5).astype(np.float32)
    bundle = for_stereo(tmp_path)
    surface = refine(raster("dsm.tif", heights), tmp_path / "o.tif", bundle=bundle)
    assert any("made for raw stereo DSMs" in note for note in surface.notes)


def for_both(tmp_path: Path) -> Bundle:
    """A bundle that adds 5 m with a standard deviation of 14 m, of which a quarter is held back."""
    bundle = make_bundle(tmp_path / "c.bundle")
    changes = {"shrink": 0.25, "clean_input": CleanInput(shrink=1.0, low=2.7, high=3.2)}
    contract = bundle.contract.model_copy(update=changes)
    return replace(bundle, card=bundle.card.model_copy(update={"contract": contract}))


def test_a_dsm_like_lidar_is_changed_less_than_one_of_stereo(
    clean: Path, raster: Write, tmp_path: Path
) -> None:
    surface = refine(clean, tmp_path / "o.tif", bundle=for_both(tmp_path))
    assert any("as accurate as one from lidar" in note for note in surface.notes)
    np.testing.assert_allclose(read(surface.path), read(clean), atol=1e-3)

    noise = np.random.default_rng(0).normal(0, 2, (160, 192))
    stereo = terrain() + ndimage.gaussian_filter(noise, 1.5).astype(np.float32)
    surface = refine(raster("dsm.tif", stereo), tmp_path / "p.tif", bundle=for_both(tmp_path))
    assert not any("lidar" in note for note in surface.notes)
    change = 5 - 0.25 * np.sqrt(2) * 10
    np.testing.assert_allclose(read(surface.path) - read(tmp_path / "dsm.tif"), change, atol=1e-2)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)
