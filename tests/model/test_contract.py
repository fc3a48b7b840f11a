"""Encoding of layers and decoding of outputs."""

import numpy as np
import pytest
from pydantic import ValidationError

from conftest import terrain
from demiurge.model.contract import Contract, Heights
from demiurge.model.normals import InputLayer


def contract(**changes: object) -> Contract:
    content = {
        "layers": [
            InputLayer(name="dsm"),
            InputLayer(name="red", offset=100.0, scale=50.0, optional=True),
            InputLayer(name="valid"),
        ],
        "base": "dsm",
        "targets": ["dsm"],
        "heights": Heights(scale=4.0),
        **changes,
    }
    return Contract.model_validate(content)


NORMALS = {"dsm": (0.0, 1.0), "red": (100.0, 50.0), "valid": (0.0, 1.0)}


def window() -> np.ndarray:
    heights = terrain(64, 64) + 3000
    heights[10:20, 10:20] = np.nan
    red = np.full((64, 64), 150, np.float32)
    red[40:] = np.nan
    return np.stack([heights, red, np.isfinite(heights).astype(np.float32)])


def test_input_planes_are_finite_and_include_masks() -> None:
    encoded = contract().encode(window(), 0.5, NORMALS)
    assert encoded.planes.shape == (5, 64, 64)
    assert np.isfinite(encoded.planes).all()
    np.testing.assert_array_equal(encoded.planes[1][:40], 1.0)
    np.testing.assert_array_equal(encoded.planes[1][40:], 0.0)
    np.testing.assert_array_equal(encoded.planes[3], window()[2], err_msg="mask of the dsm")
    np.testing.assert_array_equal(encoded.planes[4][40:], 0.0, err_msg="mask of red")


def test_heights_are_relative_to_the_mean_of_the_window() -> None:
    a = contract().encode(window(), 0.5, NORMALS)
    shifted = window()
    shifted[0] += 500
    b = contract().encode(shifted, 0.5, NORMALS)
    np.testing.assert_allclose(a.planes[0], b.planes[0], atol=1e-3)
    assert abs(a.planes[0].mean()) < 0.3


def test_voids_do_not_enter_the_mean() -> None:
    torn = window()
    encoded = contract().encode(torn, 0.5, NORMALS)
    known = np.isfinite(torn[0])
    assert encoded.planes[0][known].mean() == pytest.approx(0, abs=1e-4)


def test_encode_does_not_change_its_input() -> None:
    given = window()
    before = given.copy()
    contract().encode(given, 0.5, NORMALS)
    np.testing.assert_array_equal(given, before)


def test_the_output_is_a_correction_of_the_base() -> None:
    chosen = contract()
    encoded = chosen.encode(window(), 0.5, NORMALS)
    output = np.stack([np.full((64, 64), 0.25), np.zeros((64, 64))]).astype(np.float32)
    actual = chosen.decode(output, encoded)
    heights, uncertainty = actual[:1], actual[1:]
    known = np.isfinite(window()[0])
    np.testing.assert_allclose(heights[0][known], window()[0][known] + 1.0, atol=1e-3)
    np.testing.assert_allclose(uncertainty, 4.0 * np.sqrt(2), rtol=1e-6)


def test_units_in_pixels_scale_with_the_pixel_size() -> None:
    chosen = contract(heights=Heights(unit="pixels", scale=4.0))
    assert chosen.encode(window(), 0.5, NORMALS).unit == 2.0
    assert chosen.encode(window(), 2.0, NORMALS).unit == 8.0


def test_without_a_base_heights_are_predicted_directly() -> None:
    chosen = contract(base=None, heights=Heights(scale=10.0, offset=200.0), uncertainty=False)
    encoded = chosen.encode(window(), 0.5, NORMALS)
    heights = chosen.decode(np.ones((1, 64, 64), np.float32), encoded)
    assert heights.shape == (1, 64, 64)
    np.testing.assert_array_equal(heights, 210.0)


def test_an_absent_layer_is_zero_and_masked() -> None:
    given = window()
    given[1] = np.nan
    planes = contract().encode(given, 0.5, NORMALS).planes
    assert not planes[1].any()
    assert not planes[4].any()


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "dtm"},
        {"targets": []},
        {"layers": [InputLayer(name="dsm"), InputLayer(name="dsm")]},
        {"surprise": 1},
    ],
)
def test_contradictions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        contract(**changes)


def test_the_ground_is_a_correction_of_an_opening_below_the_surface() -> None:
    chosen = contract(
        layers=[InputLayer(name="dsm")], targets=["dsm", "dtm"], ground=[4.0, 20.0],
        heights=Heights(scale=2.0),
    )  # fmt: skip
    house = np.zeros((1, 64, 64), np.float32)
    house[0, 20:30, 20:30] = 6
    encoded = chosen.encode(house, 1.0, {"dsm": (0.0, 1.0)})
    assert encoded.planes.shape[0] == chosen.channels == 4
    np.testing.assert_array_equal(encoded.starts[0], house[0])
    np.testing.assert_array_equal(encoded.starts[1], 0)
    # No object is narrower than 4 m; smooth openings differ from 0 only near the walls.
    away = np.ones((64, 64), bool)
    away[16:34, 16:34] = False
    away[24:26, 24:26] = True
    np.testing.assert_array_equal(encoded.planes[2][away], 0)
    np.testing.assert_allclose(encoded.planes[2].sum(), 0, atol=1e-3)
    np.testing.assert_allclose(encoded.planes[3], house[0] / 2)
    output = np.zeros((4, 64, 64), np.float32)
    output[1, :, :32] = 5.0  # the network would lift the ground by 10 m
    actual = chosen.decode(output, encoded)
    np.testing.assert_array_equal(actual[0], house[0])
    assert (actual[1] <= actual[0]).all()
    np.testing.assert_array_equal(actual[1][:, 32:], 0)
    assert actual[1][25, 25] == 6


def test_openings_need_a_base() -> None:
    with pytest.raises(ValueError, match="need a base"):
        contract(base=None, ground=[4.0])


def test_without_an_optional_base_heights_are_relative() -> None:
    contract = Contract(
        layers=[InputLayer(name="dem_prior", optional=True), InputLayer(name="red")],
        base="dem_prior",
        targets=["dtm"],
        heights=Heights(unit="pixels", scale=2.0, offset=7.0),
        calibration=[3.0],
        calibration_relative=[5.0],
    )
    assert contract.required == ("red",)
    assert contract.suited(["red", "dem_prior"]) is contract
    alone = contract.suited(["red"])
    assert alone.relative
    assert alone.calibration == [5.0]
    assert alone.channels == contract.channels
    window = np.stack([np.full((4, 4), np.nan), np.ones((4, 4))]).astype(np.float32)
    encoded = alone.encode(window, 10.0, {"red": (0.0, 1.0)})
    assert not encoded.planes[[0, 2]].any(), "neither heights nor their presence"
    output = np.stack([np.ones((4, 4)), np.zeros((4, 4))]).astype(np.float32)
    actual = alone.decode(output, encoded)
    np.testing.assert_allclose(actual[1], np.sqrt(2) * 20 * 5)


def test_openings_need_a_base_that_is_not_optional() -> None:
    with pytest.raises(ValueError, match="not optional"):
        Contract(
            layers=[InputLayer(name="dsm", optional=True)],
            base="dsm",
            targets=["dtm"],
            ground=[20.0],
        )


def test_relief_planes_hold_small_forms_of_the_base() -> None:
    contract = Contract(
        layers=[InputLayer(name="dem_prior", optional=True), InputLayer(name="red")],
        base="dem_prior",
        targets=["dtm"],
        relief=[2, 8],
    )
    _, columns = np.mgrid[:64, :64].astype(np.float32)
    slope = 3000 + 5 * columns
    bump = slope.copy()
    bump[32, 32] += 40
    normals = {"red": (0.0, 1.0)}
    flat, actual = (
        contract.encode(np.stack([h, np.ones_like(h)]), 10.0, normals).planes[-2:]
        for h in (slope, bump)
    )
    assert contract.channels == 6
    inner = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(flat[inner], 0, atol=1e-3)
    # A tent mean of 2 x 2 half-widths leaves three quarters of 40 m (four pixels).
    assert actual[0, 32, 32] == pytest.approx(4 * 3 / 4, abs=1e-3)
    assert actual[1, 32, 32] == pytest.approx(4 * 63 / 64, abs=1e-3)
    alone = contract.suited(["red"])
    gone = np.stack([np.full_like(slope, np.nan), np.ones_like(slope)])
    assert not alone.encode(gone, 10.0, normals).planes[-2:].any()
    with pytest.raises(ValueError, match="powers of two"):
        Contract(layers=contract.layers, base="dem_prior", targets=["dtm"], relief=[6])


def test_each_target_has_its_calibration() -> None:
    layers = [InputLayer(name="dsm")]
    both = Contract(layers=layers, base="dsm", targets=["dsm", "dtm"], calibration=[1.0, 3.0])
    window = np.full((1, 4, 4), 100, np.float32)
    encoded = both.encode(window, 2.0, {})
    actual = both.decode(np.zeros((4, 4, 4), np.float32), encoded)
    np.testing.assert_allclose(actual[3], 3 * actual[2])
    old = Contract.model_validate({**both.model_dump(), "calibration": 2.0})
    assert old.calibration == [2.0]
    assert (old.decode(np.zeros((4, 4, 4), np.float32), encoded)[2:] == 2 * actual[2]).all()
    with pytest.raises(ValueError, match="one calibration for each"):
        Contract(layers=layers, base="dsm", targets=["dsm"], calibration=[1.0, 3.0])


def test_shrink_soft_thresholds_the_change_of_measured_heights_only() -> None:
    chosen = contract(targets=["dsm", "dtm"], shrink=0.5, calibration=[1.0, 1.0])
    encoded = chosen.encode(window(), 0.5, NORMALS)
    output = np.zeros((4, 64, 64), np.float32)
    output[0, :, :32], output[0, :, 32:] = 0.25, -2.0
    output[2] = np.log(0.25 / np.sqrt(2))  # standard deviation: 0.25 units, 1 m
    output[1] = 1.0
    actual = chosen.decode(output, encoded)
    base, known = encoded.base, np.isfinite(window()[0])
    left, right = (np.zeros((64, 64), bool) for _ in range(2))
    left[:, :32], right[:, 32:] = True, True
    np.testing.assert_allclose(actual[2], 1.0, rtol=1e-5)
    np.testing.assert_allclose((actual[0] - base)[known & left], 0.5, atol=1e-3)
    np.testing.assert_allclose((actual[0] - base)[known & right], -7.5, atol=1e-3)
    np.testing.assert_allclose((actual[0] - base)[~known], 1.0, atol=1e-3, err_msg="voids")
    assert (actual[1] <= actual[0]).all(), "the ground stays below the shrunk surface"


def test_a_doubtful_change_leaves_measured_heights_as_they_are() -> None:
    chosen = contract(shrink=0.5)
    encoded = chosen.encode(window(), 0.5, NORMALS)
    output = np.stack([np.full((64, 64), 0.3), np.zeros((64, 64))]).astype(np.float32)
    heights = chosen.decode(output, encoded)[0]
    known = np.isfinite(window()[0])
    np.testing.assert_array_equal(heights[known], window()[0][known])


def test_shrink_needs_an_uncertainty_and_a_base_that_is_a_target() -> None:
    with pytest.raises(ValidationError, match="shrink"):
        contract(shrink=0.25, uncertainty=False)
    with pytest.raises(ValidationError, match="shrink"):
        contract(shrink=0.25, targets=["dtm"])
    assert contract().shrink == 0, "bundles without the field"


def test_local_heights_do_not_depend_on_a_distant_cliff() -> None:
    """Relative to the mean of the window, a cliff at one side shifts all heights."""
    rng = np.random.default_rng(0)
    plain = rng.normal(100, 1, (1, 192, 192)).astype(np.float32)
    cliff = plain.copy()
    cliff[:, :, 150:] += np.linspace(0, 600, 42, dtype=np.float32)
    layers = [InputLayer(name="dsm")]
    gap = {}
    for local in (None, 32):
        contract = Contract(layers=layers, base="dsm", targets=["dsm"], local=local)
        a, b = (contract.encode(w, 0.5, {}).planes[0, :, :100] for w in (plain, cliff))
        gap[local] = float(np.abs(a - b).max())
        encoded = contract.encode(cliff, 0.5, {})
        same = contract.decode(np.zeros((2, 192, 192), np.float32), encoded)
        np.testing.assert_allclose(same[0], cliff[0], atol=1e-3)
    assert gap[None] > 50
    assert gap[32] < 1e-3


def test_shrink_does_not_keep_spikes() -> None:
    """The uncertainty of a spike is as large as the spike, but its change is kept."""
    chosen = contract(shrink=0.5)
    given = window()
    given[0, 40, 40] += 300
    encoded = chosen.encode(given, 0.5, NORMALS)
    output = np.full((2, 64, 64), np.log(300 / 4.0 / np.sqrt(2)), np.float32)
    output[0] = -300 / 4.0
    actual = chosen.decode(output, encoded)
    change = actual[0, 40, 40] - given[0, 40, 40]
    assert change == pytest.approx(-300 + 0.5 * 24 * 0.5, abs=0.1)


def test_a_cliff_does_not_change_its_foot_and_top() -> None:
    chosen = contract(targets=["dsm", "dtm"], ground=[8.0], calibration=[1.0])
    low = terrain(64, 64)[None].repeat(3, axis=0)
    low[1:] = np.nan
    high = low.copy()
    high[0, :, 32:] += 800
    flat, cliff = (chosen.encode(given, 0.5, NORMALS) for given in (low, high))
    assert np.ptp(cliff.planes[0]) * cliff.unit < np.ptp(low[0]) + 40
    output = np.zeros((4, 64, 64), np.float32)
    actual = chosen.decode(output, cliff)
    np.testing.assert_allclose(actual[0], high[0], atol=1e-3, err_msg="heights are restored")
    expected = chosen.decode(output, flat)[1]
    np.testing.assert_allclose(actual[1][:, :10], expected[:, :10], atol=0.5)
    np.testing.assert_allclose(actual[1][:, -10:], expected[:, -10:] + 800, atol=0.5)
