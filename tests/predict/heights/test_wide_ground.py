"""Tests of the bare earth weighed against a wider view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import demiurge
from conftest import LEFT, TOP, make_bundle, terrain
from demiurge import Options, scene_from_files
from demiurge.model.bundle import Bundle
from demiurge.predict.heights.wide_ground import WideGround, wide_factor, write_wide_ground

Write = Callable[..., Path]
TARGETS = ("dsm", "dtm")
SIDE, FACTOR = 96, 4


def _wide(path: Path, earth: np.ndarray, uncertainty: np.ndarray) -> WideGround:
    """Write a wide view in two parts; the planes of the surface are not kept."""
    nothing = np.zeros_like(earth)
    planes = np.stack([nothing, earth, nothing, uncertainty]).astype(np.float32)
    parts = iter([planes[:, :10], planes[:, 10:]])
    return write_wide_ground(path, parts, TARGETS, earth.shape, FACTOR)


def _planes() -> tuple[np.ndarray, np.ndarray]:
    """Return a plain with a hall, whose ground is 5 m too high and uncertain; and the truth."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    earth = 50 + 0.03 * x + 0.02 * y
    planes = np.stack([earth, earth, np.full_like(earth, 0.3), np.full_like(earth, 0.3)])
    hall = (slice(30, 70), slice(20, 80))
    planes[(0, *hall)] += 20
    planes[(1, *hall)] += 5
    planes[(3, *hall)] = 6
    return planes, earth


def _coarse(heights: np.ndarray) -> np.ndarray:
    return heights.reshape(SIDE // FACTOR, FACTOR, SIDE // FACTOR, FACTOR).mean((1, 3))


def test_the_surer_view_decides(tmp_path: Path) -> None:
    planes, earth = _planes()
    wide = _coarse(earth)
    view = _wide(tmp_path / "wide.npy", wide + 1, np.full_like(wide, 1.0))
    out = view.weigh(0, 0, planes, TARGETS)
    # Under the hall the wide view is surer, on the plain the fine one, which is right.
    assert np.abs(out[1] - earth)[34:66, 24:76].max() < 1.1
    assert np.abs(out[1] - earth)[:26].max() < 0.01
    assert out[3, 50, 50] == pytest.approx(1, abs=0.1)
    assert out[3, 5, 5] == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(out[[0, 2]], planes[[0, 2]])
    assert not np.shares_memory(out, planes)


def test_equal_views_stay_and_the_ground_is_not_above_the_surface(tmp_path: Path) -> None:
    planes, earth = _planes()
    wide = _coarse(earth)
    same = _wide(tmp_path / "same.npy", wide, np.full_like(wide, 0.01))
    planes[1] = earth
    inner = (1, slice(4, -4), slice(4, -4))  # beyond the centres of its pixels it is constant
    np.testing.assert_allclose(
        same.weigh(0, 0, planes, TARGETS)[inner], earth[4:-4, 4:-4], atol=0.01
    )
    above = _wide(tmp_path / "above.npy", wide + 50, np.full_like(wide, 0.01))
    out = above.weigh(0, 0, planes, TARGETS)
    assert (out[1] <= planes[0] + 1e-4).all()


def test_voids_stay_and_those_of_the_wide_view_change_nothing(tmp_path: Path) -> None:
    planes, earth = _planes()
    planes[:, :5, :7] = np.nan
    wide, uncertainty = _coarse(earth), np.full((SIDE // FACTOR,) * 2, 0.5)
    wide[10:14, 8:12] = uncertainty[10:14, 8:12] = np.nan
    out = _wide(tmp_path / "wide.npy", wide, uncertainty).weigh(0, 0, planes, TARGETS)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(planes))
    hidden = (slice(None), slice(40, 56), slice(32, 48))
    np.testing.assert_array_equal(out[hidden], planes[hidden])
    assert out[1, 60, 70] < planes[1, 60, 70] - 3


def test_pixels_do_not_depend_on_the_part(tmp_path: Path) -> None:
    planes, earth = _planes()
    view = _wide(tmp_path / "wide.npy", _coarse(earth), np.full((SIDE // FACTOR,) * 2, 0.5))
    whole = view.weigh(0, 0, planes, TARGETS)
    for top, left, height, width in ((0, 0, 1, 1), (33, 17, 11, 50), (90, 91, 6, 5), (0, 3, 96, 2)):
        part = (slice(None), slice(top, top + height), slice(left, left + width))
        out = view.weigh(top, left, planes[part], TARGETS)
        np.testing.assert_allclose(out, whole[part], atol=1e-4)


def _bundle(path: Path, scales: tuple[int, ...], **options: object) -> Bundle:
    """Predicts a ground between the opening and the DSM, less certain where objects are tall."""
    from demiurge.model.contract import Contract, InputLayer

    contract = Contract(layers=[InputLayer(name="dsm")], base="dsm", targets=list(TARGETS))
    graph = _graph(contract.channels)
    how: dict[str, object] = {"targets": TARGETS, "pixel": (2.0, 8.0), "window": 64, **options}
    return make_bundle(path, graph=graph, recipe={"chips": {"scales": list(scales)}}, **how)  # type: ignore[arg-type]


def _graph(channels: int) -> bytes:
    """Outputs: nothing, and for ground and uncertainties half of the height above the opening."""
    import onnx
    from onnx import numpy_helper

    from conftest import constant_graph

    model = onnx.load_from_string(constant_graph(channels, [0.0] * 4))
    weight = np.zeros((4, channels, 1, 1), np.float32)
    weight[1, channels - 1] = weight[3, channels - 1] = 0.5
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    content: bytes = model.SerializeToString()
    return content


def test_the_view_needs_a_ground_with_uncertainty_and_a_scale(
    raster: Write, tmp_path: Path
) -> None:
    scene = scene_from_files({"dsm": raster("dsm.tif", terrain(160, 160))})  # pixels of 2 m
    path = tmp_path / "f.bundle"
    assert wide_factor(scene, _bundle(path, (1, 2, 4))) == 4
    assert wide_factor(scene, _bundle(path, (1,))) is None
    assert wide_factor(scene, _bundle(path, (1, 2, 4), pixel=(2.0, 4.0))) == 2
    only = make_bundle(path, recipe={"chips": {"scales": [1, 4]}}, pixel=(2.0, 8.0))
    assert wide_factor(scene, only) is None


def test_refine_weighs_both_views(raster: Write, tmp_path: Path) -> None:
    heights = terrain(200, 260)
    heights[60:120, 80:150] += 30
    heights[20:30, 40:60] = np.nan
    file = raster("dsm.tif", heights)
    blocks = heights.reshape(50, 4, 65, 4)
    with np.errstate(invalid="ignore"):
        means = np.where(
            np.isfinite(blocks).mean((1, 3)) >= 0.5, np.nan_to_num(blocks).sum((1, 3)), np.nan
        ) / np.maximum(np.isfinite(blocks).sum((1, 3)), 1)
    small = raster("small.tif", means.astype(np.float32), transform=from_origin(LEFT, TOP, 8, 8))
    both, one = _bundle(tmp_path / "both.bundle", (1, 4)), _bundle(tmp_path / "one.bundle", (1,))

    def planes(path: Path, name: str, bundle: Bundle, tag: str | None = None) -> np.ndarray:
        surface = demiurge.refine(path, tmp_path / name, bundle=bundle, options=Options())
        with rasterio.open(surface.path) as result:
            assert result.tags().get("ground") == tag
            order = [list(result.descriptions).index(n) + 1 for n in
                     ("dsm", "dtm", "dsm_uncertainty", "dtm_uncertainty")]  # fmt: skip
            return np.asarray(result.read(order, masked=True).filled(np.nan))

    given = planes(file, "both.tif", both, "weighed against a pass at pixels 4 times coarser")
    fine, wide = planes(file, "fine.tif", one), planes(small, "wide.tif", one)
    view = write_wide_ground(tmp_path / "w.npy", iter([wide]), TARGETS, (50, 65), 4)
    np.testing.assert_allclose(given, view.weigh(0, 0, fine, TARGETS), atol=2e-3)
    assert np.nanmax(np.abs(given[1] - fine[1])) > 1
    np.testing.assert_array_equal(given[0], fine[0])
    # An odd last row and column, and an interrupted run, are read from the same file.
    surface = demiurge.refine(
        file, tmp_path / "dtm.tif", bundle=both, options=Options(target="dtm")
    )
    with rasterio.open(surface.path) as result:
        np.testing.assert_allclose(result.read(1, masked=True).filled(np.nan), given[1], atol=1e-4)
