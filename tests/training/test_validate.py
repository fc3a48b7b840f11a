"""Validation of bundles: windows, errors, calibration and receptive field."""

from pathlib import Path

import numpy as np
import pytest

from conftest import blur_graph, constant_graph, make_bundle
from demiurge.model.bundle import WindowPlan
from demiurge.training import validate as module
from demiurge.training.dataset import ValidationChips
from demiurge.training.normalisation import make_contract
from demiurge.training.recipe import Recipe
from demiurge.training.split import split_places
from demiurge.training.validate import (
    errors_of,
    evenly_spaced,
    measure_receptive_field,
    receptive_field,
    validate,
)

from .conftest import MakeScene, tiny_recipe


def chips_of(make_scene: MakeScene, recipe: Recipe, **size: int) -> ValidationChips:
    split = split_places([make_scene(**size)], recipe)
    return ValidationChips(split.validating, recipe, make_contract(split.training, recipe))


def dsm_only(**changes: object) -> Recipe:
    return tiny_recipe(layers=["dsm"], optional=[], **changes)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 1000])
def test_evenly_spaced_indices(count: int) -> None:
    indices = list(evenly_spaced(count, 64))
    assert len(set(indices)) == len(indices) == min(count, 64)
    assert (indices[0], indices[-1]) == (0, count - 1)


def test_windows_have_the_side_in_which_the_bundle_is_applied(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chips have 32 px, the windows of the bundle 96 px, of which 3 fit into the stripe."""
    sizes: list[int] = []
    plain = module.OpenVinoRuntime

    def recorded(bundle, size, precision, threads=0):  # type: ignore[no-untyped-def]
        sizes.append(size)
        return plain(bundle, size, precision, threads)

    monkeypatch.setattr(module, "OpenVinoRuntime", recorded)
    monkeypatch.setattr(module, "measure_receptive_field", lambda *_: 0)
    recipe = dsm_only(split={"validation": 0.5, "buffer": 0})
    chips = chips_of(make_scene, recipe, rows=300, columns=200)
    validate(make_bundle(tmp_path / "a.bundle", window=96), chips)
    assert set(sizes) == {96}
    sizes.clear()
    # A region smaller than the window: the largest side that fits.
    validate(make_bundle(tmp_path / "b.bundle", window=512), chips)
    assert set(sizes) == {96}
    sizes.clear()
    # Relative heights: windows of the chip size, at least 64 px.
    bundle = make_bundle(
        tmp_path / "c.bundle", window=96, base=None, relative=True, recipe=recipe.model_dump()
    )
    validate(bundle, chips)
    assert set(sizes) == {64}


@pytest.mark.parametrize(("rows", "columns"), [(160, 200), (170, 300), (97, 260)])
def test_every_pixel_counts_once(
    make_scene: MakeScene, tmp_path: Path, rows: int, columns: int
) -> None:
    """Also where the last window is moved inward and overlaps others."""
    recipe = dsm_only(split={"validation": 0.5, "buffer": 0})
    chips = chips_of(make_scene, recipe, rows=rows, columns=columns)
    (region,) = chips.regions
    truth = region.scene.read(region.window, ["truth_dsm"])[0]
    bundle = make_bundle(
        tmp_path / "a.bundle", window=64, graph=constant_graph(2, [0.0, 0.0]), scale=1.0
    )
    errors = errors_of(bundle, chips)
    assert errors["pixels"] == np.isfinite(truth).sum() == rows * region.window.width
    # The network corrects nothing: the errors are those of the input.
    assert errors["mae"] == pytest.approx(errors["input_mae"], rel=1e-6)
    assert errors["mae"] == pytest.approx(3, abs=0.2)


def test_calibrated_intervals_contain_their_share(make_scene: MakeScene, tmp_path: Path) -> None:
    """Errors are 3 m, the predicted scale 1 m: the calibrated 90 % interval must be ± 3 m."""
    chips = chips_of(make_scene, dsm_only(heights={"scale": 1.0}))
    bundle = make_bundle(tmp_path / "a.bundle", graph=constant_graph(2, [0.0, 0.0]), scale=1.0)
    result = validate(bundle, chips)
    assert result.calibration[0] == pytest.approx(3 / np.log(10), rel=0.02)
    assert result.metrics["coverage_90_before_calibration"] < 0.05


def noise(count: int, size: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, size, size)).astype("f4") for _ in range(count)]


@pytest.mark.parametrize("windows", [1, 2, 6])
def test_the_receptive_field_of_a_known_network(tmp_path: Path, windows: int) -> None:
    """Also on a single window."""
    for east, expected in ((0, 4), (3, 1)):
        bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2, east=east))
        assert receptive_field(bundle, noise(windows, 64)) == expected


@pytest.mark.parametrize(("chip", "shift"), [(32, 100), (64, 150)])
def test_a_receptive_field_larger_than_a_chip(
    make_scene: MakeScene, tmp_path: Path, chip: int, shift: int
) -> None:
    """The output is the input ``shift`` pixels to the east, further than the chip is wide."""
    recipe = tiny_recipe(
        layers=["dsm"], optional=[], chips={"size": chip, "per_epoch": 8, "batch": 4},
        split={"validation": 0.4, "buffer": 0},
    )  # fmt: skip
    chips = chips_of(make_scene, recipe)
    bundle = make_bundle(tmp_path / "a.bundle", graph=shift_graph(shift), window=64)
    assert measure_receptive_field(bundle, chips.tiled(64)) == pytest.approx(shift, abs=1)


def shift_graph(east: int) -> bytes:
    """Return a graph whose first output is the first plane, ``east`` pixels to the east."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((2, 2, 1, 3), np.float32)
    weight[0, 0, 0, 2] = 1
    node = helper.make_node(
        "Conv", ["planes", "weight"], ["answer"], dilations=[1, east], pads=[0, east, 0, east]
    )
    shape = ["n", 2, "h", "w"]
    graph = helper.make_graph(
        [node],
        "shift",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("size", "overlap"), [(0, 0.125), (16, 0.125), (17, 0.1875), (30, 0.25), (200, 0.5)]
)
def test_windows_overlap_by_twice_the_receptive_field(size: int, overlap: float) -> None:
    assert WindowPlan(size=256).over(size).overlap == overlap
