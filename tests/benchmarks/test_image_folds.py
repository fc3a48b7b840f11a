"""Each tile is judged once, by a bundle that did not learn from it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import centring_graph, make_bundle

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import image_folds


def test_a_tile_is_judged_by_a_bundle_that_did_not_see_it() -> None:
    rng = np.random.default_rng(0)
    red = [rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(7)]
    # Heights follow the red band in even tiles, and fall with it in odd ones.
    signs = [1 if number % 2 == 0 else -1 for number in range(7)]
    pairs = [
        (tile, s * tile[..., 0].astype(np.float64)) for tile, s in zip(red, signs, strict=True)
    ]
    trained: list[set[str]] = []

    def copy_red(scenes: list[Path], out: Path) -> object:
        trained.append({scene.name for scene in scenes})
        return make_bundle(
            out, task="generate", layers=("red",), base=None, targets=("dtm",), relative=True,
            graph=centring_graph(), scale=1.0, window=64,
        )  # fmt: skip

    figures = image_folds.five_folds(pairs, copy_red)
    np.testing.assert_allclose(figures.correlations, signs, atol=1e-3)
    np.testing.assert_allclose(figures.fitted, 0, atol=1e-3)
    assert figures.summary["negative"] == pytest.approx(3 / 7)
    everything = {f"scene_{number}" for number in range(7)}
    left_out = [everything - scenes for scenes in trained]
    assert sorted(name for names in left_out for name in names) == sorted(everything)
