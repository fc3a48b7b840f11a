"""Tests of the coarse pass of relative heights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scipy import ndimage

import demiurge
from conftest import LEFT, TOP, blur_graph, make_bundle
from demiurge import Options, scene_from_files
from demiurge.model.bundle import Bundle
from demiurge.predict.heights.coarse import (
    CoarsePass,
    coarse_factor,
    load_coarse,
    smoothed,
)
from demiurge.raster.resample import block_means
from demiurge.scene.grid import Window

Write = Callable[..., Path]


def _forms(side: int, sigma: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((side, side))
    form = ndimage.gaussian_filter(noise, sigma)
    return (form / form.std()).astype(np.float32)


def _bundle(path: Path, high: float = 8.0, scales: tuple[int, ...] = (1, 4)) -> Bundle:
    """Predicts relative heights: minus the mean of the image over 9 pixels."""
    return make_bundle(
        path, task="generate", layers=("red",), base=None, targets=("dtm",), relative=True,
        pixel=(2.0, high), graph=blur_graph(2, 2, 0), window=256,
        recipe={"chips": {"scales": list(scales)}},
    )  # fmt: skip


def test_wide_forms_come_from_the_pass_and_narrow_ones_from_the_window() -> None:
    wide, narrow = 30 * _forms(256, 40, 0), _forms(256, 1.5, 1)
    tilt = np.linspace(0, 90, 256, dtype=np.float32)[None].repeat(256, 0)
    coarse = CoarsePass.of(4, np.stack([block_means(wide, 4), np.full((64, 64), 3, np.float32)]))
    window = Window(64, 32, 128, 160)
    fine = np.stack([narrow + tilt, np.full((256, 256), 1, np.float32)])
    here = (slice(None), *window.slices)
    padded = np.zeros((2, 160, 160), np.float32)
    padded[:, :128] = fine[here]
    valid = np.ones((128, 160), bool)
    merged = coarse.apply(window, valid, padded, 1)[:, :128]
    inner = (slice(32, -32), slice(32, -32))
    error = (merged[0] - (wide + narrow)[window.slices])[inner]
    assert np.sqrt(np.mean(error**2)) < 0.3  # narrow forms have 1, wide forms 30, the tilt 26
    assert (merged[1] == 3).all()


def test_pixels_without_data_do_not_enter_the_mean() -> None:
    heights = np.full((40, 40), 7, np.float32)
    heights[:, :10] = -1e6
    valid = np.ones((40, 40), bool)
    valid[:, :10] = False
    np.testing.assert_allclose(smoothed(heights, valid, 4.0)[:, 10:], 7, rtol=1e-5)


def test_the_factor_is_a_scale_of_the_training(raster: Write, tmp_path: Path) -> None:
    def factor(side: int, high: float, *scales: int) -> int | None:
        image = raster(f"{side}.tif", np.ones((side, side), np.float32), names=["red"])
        scene = scene_from_files({"red": image})  # pixels of 2 m
        return coarse_factor(scene, _bundle(tmp_path / "f.bundle", high, scales).card)

    assert factor(160, 8, 1, 2, 4) == 4
    assert factor(160, 8, 1, 2) == 2
    assert factor(160, 4, 1, 2, 4) == 2
    assert factor(160, 2, 1, 2, 4) is None
    assert factor(100, 8, 1, 2, 4) == 2  # 25 coarse pixels would be too few
    assert factor(60, 8, 1, 2, 4) is None
    assert factor(160, 8) is None  # trained at one scale


def test_generate_merges_both_passes(raster: Write, tmp_path: Path) -> None:
    image = (100 + 20 * _forms(256, 30, 2) + 5 * _forms(256, 2, 3)).astype(np.float32)
    file = raster("red.tif", image, names=["red"])
    small = raster(
        "small.tif", block_means(image, 4), names=["red"], transform=from_origin(LEFT, TOP, 8, 8)
    )
    bundle = _bundle(tmp_path / "b.bundle")
    alone = Options(reconcile=False)

    def heights(path: Path, name: str, options: Options | None = None) -> np.ndarray:
        surface = demiurge.generate(
            path, tmp_path / name, bundle=bundle, options=options or Options()
        )
        with rasterio.open(surface.path) as result:
            assert result.tags().get("coarse_pass") == (None if options else "4 times")
            return np.asarray(result.read())

    both = heights(file, "both.tif")
    fine, wide = heights(file, "fine.tif", alone), heights(small, "small_out.tif", alone)
    expected = CoarsePass.of(4, wide).apply(
        Window(0, 0, 256, 256), np.ones((256, 256), bool), fine, 1
    )
    np.testing.assert_allclose(both, expected, atol=1e-3)
    assert np.abs(both[0] - fine[0]).max() > 1  # the pass changes something


def test_a_saved_pass_is_read_with_its_key_only(tmp_path: Path) -> None:
    path = tmp_path / "coarse.npz"
    made = CoarsePass.of(4, np.random.default_rng(0).random((2, 9, 9)).astype(np.float32))
    made.save(path, "one")
    read = load_coarse(path, "one")
    assert read is not None
    np.testing.assert_array_equal(read.values, made.values)
    assert load_coarse(path, "another") is None
    complete = path.read_bytes()
    for content in (b"half", complete[: len(complete) // 2]):
        path.write_bytes(content)
        assert load_coarse(path, "one") is None
