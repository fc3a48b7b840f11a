"""Heights constrained to a coarse prior, and the assessment of a bundle's detail."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import demiurge
from conftest import LEFT, PIXEL, TOP, make_bundle, terrain
from demiurge.errors import UsageError
from demiurge.model.bundle import Bundle
from demiurge.predict.heights import assessment
from demiurge.predict.job import plan
from demiurge.predict.options import Options
from demiurge.raster.voids import fill_voids
from demiurge.scene.bands import name_inputs
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene

Write = Callable[..., Path]
FACTOR, SIDE = 3, 384
INSIDE = (slice(12, -12),) * 2


def land() -> np.ndarray:
    """Return hills with ridges and valleys of all widths, as real terrain has."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    values = np.zeros((SIDE, SIDE))
    for width in (9, 13, 21, 34, 55, 89):
        angle = rng.uniform(0, np.pi)
        along = rows * np.cos(angle) + columns * np.sin(angle) + rng.uniform(0, width)
        values += 0.3 * width * np.abs(np.sin(np.pi * along / width))
    return values.astype(np.float32)


def sharpening_graph(gain: float) -> bytes:
    """Return a graph whose output is the second plane less its 5 × 5 mean."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((2, 4, 5, 5), np.float32)
    weight[0, 1] = -gain / 25
    weight[0, 1, 2, 2] += gain
    node = helper.make_node("Conv", ["planes", "weight"], ["answer"], pads=[2, 2, 2, 2])
    shapes = [["n", 4, "h", "w"], ["n", 2, "h", "w"]]
    graph = helper.make_graph(
        [node],
        "sharpen",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def bundle_of(folder: Path, gain: float) -> Bundle:
    """Return a bundle that adds the red band's relief, correct (1), inverted (-1) or not (0)."""
    return make_bundle(
        folder / "g.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), scale=1.0, pixel=(1.0, 20.0), window=128, graph=sharpening_graph(gain),
    )  # fmt: skip


@pytest.fixture
def scene(raster: Write, tmp_path: Path) -> Scene:
    """Return a scene whose red band holds its heights and whose prior has means of 3 × 3 pixels."""
    heights = land()
    wide = PIXEL * FACTOR
    coarse = heights.reshape(SIDE // FACTOR, FACTOR, -1, FACTOR).mean(axis=(1, 3))
    prior = raster("prior.tif", coarse, transform=from_origin(LEFT, TOP, wide, wide))
    files = {
        "red": raster("red.tif", heights), "dem_prior": prior,
        "truth_dtm": raster("truth.tif", heights),
    }  # fmt: skip
    return prepare(files, tmp_path / "scene")


def error(
    scene: Scene, bundle: Bundle, *, south: bool = False, **options: object
) -> tuple[float, demiurge.Surface]:
    """Return the RMSE over that of the interpolated prior; with ``south`` of the southern half."""
    assert scene.folder is not None
    out = scene.folder.parent / "out.tif"
    surface = demiurge.generate(
        scene,
        out,
        bundle=bundle,
        options=Options(overwrite=True, **options),  # type: ignore[arg-type]
    )
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"])
    with rasterio.open(out) as file:
        values = file.read(1)
    inside = (slice(SIDE // 2, -12), slice(12, -12)) if south else INSIDE
    rmse = [float(np.square(h - truth)[inside].mean() ** 0.5) for h in (values, prior)]
    return rmse[0] / rmse[1], surface


def test_a_prepared_scene_keeps_the_grid_of_its_prior(scene: Scene) -> None:
    native = scene.sources["dem_prior"].native
    assert native is not None
    assert native.affine.a == PIXEL * FACTOR
    assert scene.folder is not None
    again = open_scene(scene.folder)
    assert again.sources["dem_prior"].native == native


def test_a_bundle_without_detail_is_harmless(scene: Scene, tmp_path: Path) -> None:
    """Backprojection alone makes an exact prior better than interpolation."""
    ratio, surface = error(scene, bundle_of(tmp_path, 0.0), prior_accuracy=0.0)
    assert ratio < 0.9
    assert any("0% of the bundle's detail" in note for note in surface.notes)


def test_detail_that_helps_is_kept(scene: Scene, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, 0.5)
    ratio, surface = error(scene, bundle)
    with rasterio.open(surface.path) as file:
        tags = file.tags()
    assert ratio < error(scene, bundle, detail=0.0)[0] - 0.1
    assert any("assessed on this scene made 3 times coarser" in note for note in surface.notes)
    assert tags["detail_from"] == "judged at reduced resolution"
    assert float(tags["detail"]) > 0.5
    assert tags["prior_accuracy"] == "not given"


def test_detail_that_harms_is_left_out(scene: Scene, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, -0.5)
    ratio, _ = error(scene, bundle)
    assert error(scene, bundle, detail=1.0)[0] > ratio + 0.2
    assert ratio == pytest.approx(error(scene, bundle, detail=0.0)[0], abs=1e-4)


def test_voids_of_the_prior_are_left_out_of_the_assessment(raster: Write, tmp_path: Path) -> None:
    heights = land()
    coarse = heights.reshape(SIDE // FACTOR, FACTOR, -1, FACTOR).mean(axis=(1, 3))
    coarse[:20, :60] = np.nan
    wide = PIXEL * FACTOR
    place = from_origin(LEFT, TOP, wide, wide)
    files = {
        "red": raster("red.tif", heights), "truth_dtm": raster("truth.tif", heights),
        "dem_prior": raster("prior.tif", coarse, transform=place, nodata=float("nan")),
    }  # fmt: skip
    scene = prepare(files, tmp_path / "scene")
    ratio, surface = error(scene, bundle_of(tmp_path, 0.5), south=True)
    assert any("assessed on this scene" in note for note in surface.notes)
    assert ratio < 0.8


@pytest.mark.parametrize("accuracy", [None, 0.0])
def test_a_change_of_the_means_stays_out_at_the_border_of_the_prior(
    raster: Write, tmp_path: Path, accuracy: float | None
) -> None:
    """The bundle adds 50 m everywhere; the prior ends within the image and has a void."""
    heights, ratio = terrain(128, 128), 10
    coarse = heights[:120, :90].reshape(12, ratio, 9, ratio).mean(axis=(1, 3))
    coarse[5, 4] = np.nan
    wide = PIXEL * ratio
    files = {
        "red": raster("red.tif", heights),
        "dem_prior": raster(
            "prior.tif", coarse, transform=from_origin(LEFT, TOP, wide, wide), nodata=float("nan")
        ),
    }  # fmt: skip
    scene = prepare(files, tmp_path / "scene")
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[5.0, 0.0], pixel=(1.0, 20.0), window=128,
    )  # fmt: skip
    options = Options(prior_accuracy=accuracy)
    surface = demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle, options=options)
    with rasterio.open(surface.path) as file:
        values = file.read(1)
    prior = scene.read(layers=["dem_prior"])[0]
    known = np.isfinite(values)
    assert known[:118, :88].all(), "the void is filled"
    relief = float(np.nanmax(coarse) - np.nanmin(coarse))
    assert np.abs(values - fill_voids(prior))[known].max() < min(5.0, 0.25 * relief)


def test_the_offset_of_a_prior_is_weighted_by_its_accuracy(scene: Scene, tmp_path: Path) -> None:
    """The bundle adds 5 m everywhere and predicts an uncertainty of √2 m.

    With unknown accuracy the uncertainty is the error expected from the scene itself.
    """
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[5.0, 0.0], scale=1.0, pixel=(1.0, 20.0),
    )  # fmt: skip
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"])
    offsets, uncertainties, errors = [], [], []
    notes: tuple[str, ...] = ()
    for accuracy in (None, 0.0, 2**0.5, float("inf")):
        _, surface = error(scene, bundle, prior_accuracy=accuracy)
        notes = surface.notes if accuracy is None else notes
        with rasterio.open(surface.path) as file:
            heights, uncertainty = file.read()
        offsets.append(float((heights - prior)[INSIDE].mean()))
        uncertainties.append(float(np.square(uncertainty).mean() ** 0.5))
        errors.append(float(np.square(heights - truth)[INSIDE].mean() ** 0.5))
    np.testing.assert_allclose(offsets, [0, 0, 2.5, 5], atol=0.1)
    assert uncertainties[3] == pytest.approx(2**0.5, rel=1e-3)
    assert uncertainties[0] > uncertainties[1], "less of the relief is restored"
    assert uncertainties[1] / errors[1] == pytest.approx(uncertainties[0] / errors[0], rel=0.3)
    assert errors[0] < uncertainties[0] < 3 * errors[0]
    assert any("the prior's own errors are not known" in n for n in notes)


def test_the_prior_may_lie_in_degrees(raster: Write, tmp_path: Path) -> None:
    """The pixels of the prior are rotated and stretched against those of the image."""
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    heights = land()
    place = from_origin(LEFT, TOP, PIXEL, PIXEL)
    box = (LEFT, TOP - SIDE * PIXEL, LEFT + SIDE * PIXEL, TOP)
    code = rasterio.open(raster("red.tif", heights)).crs
    degrees, columns, rows = calculate_default_transform(
        code, "EPSG:4326", SIDE // 3, SIDE // 3, *box
    )
    coarse = np.full((rows, columns), np.nan, np.float32)
    reproject(
        heights, coarse, src_transform=place, src_crs=code, dst_transform=degrees,
        dst_crs="EPSG:4326", resampling=Resampling.average, dst_nodata=np.nan,
    )  # fmt: skip
    prior = raster("prior.tif", coarse, crs="EPSG:4326", transform=degrees, nodata=float("nan"))
    files = name_inputs([
        f"red={tmp_path / 'red.tif'}", f"dem_prior={prior}",
        f"truth_dtm={raster('truth.tif', heights)}",
    ])  # fmt: skip
    scene = prepare(files, tmp_path / "scene")
    inside = scene.read(layers=["dem_prior"])[0][INSIDE]
    assert np.isfinite(inside).all()
    assert error(scene, bundle_of(tmp_path, 0.0), detail=0.0, prior_accuracy=0.0)[0] < 0.95


def test_detail_is_not_added_without_an_assessment(raster: Write, tmp_path: Path) -> None:
    wide = PIXEL * FACTOR
    prior = raster("prior.tif", terrain(20, 20), transform=from_origin(LEFT, TOP, wide, wide))
    files = {"red": raster("red.tif", terrain(60, 60)), "dem_prior": prior}
    scene = prepare(files, tmp_path / "scene")
    bundle = bundle_of(tmp_path, 0.5)
    heights = {}
    for detail in (None, 0.0, 1.0):
        options = Options(detail=detail, overwrite=True)
        surface = demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle, options=options)
        with rasterio.open(surface.path) as file:
            heights[detail] = file.read(1)
            source = file.tags()["detail_from"]
        note = next(n for n in surface.notes if "the bundle is not assessed" in n)
        assert "needs a scene 99 px across, this one has 60" in note
        assert source == ("not judged" if detail is None else "as given")
        assert ("no detail is added" in note) == (detail is None)
    np.testing.assert_array_equal(heights[None], heights[0.0])
    assert np.abs(heights[1.0] - heights[0.0]).max() > 0.1


@pytest.mark.parametrize(
    ("shape", "factor", "window", "reason"),
    [
        ((100_000, 100_000), 20, 768, ""),
        ((100_000, 100_000), 47, 768, ""),
        ((100_000, 100_000), 60, 768, "the prior is 60 times coarser than the image"),
        ((100_000, 100_000), 20, 96, "needs windows of 120 px, they have 96"),
        ((2399, 100_000), 20, 768, "needs a scene 2400 px across, this one has 2399"),
        ((300, 300), 6, 320, ""),
    ],
)
def test_reasons_against_an_assessment(
    shape: tuple[int, int], factor: int, window: int, reason: str
) -> None:
    actual, windows = assessment._windows(shape, factor, window)
    assert actual.endswith(reason) if reason else actual == ""
    assert bool(windows) == (actual == "")
    for square in windows:
        assert square.row + square.height <= shape[0]
        assert square.height % factor**2 == 0
        assert square.height // factor <= window
    assert sum(w.height * w.width for w in windows) <= assessment._MOST_PIXELS


def test_a_prior_20_times_coarser_is_assessed(raster: Write, tmp_path: Path) -> None:
    """All detail that the bundle adds is correct."""
    rows, columns = np.mgrid[:2400, :2400].astype(np.float32)
    heights = (
        20 * np.sin(rows / 90) * np.cos(columns / 70) + 3 * np.sin((rows + columns) / 37)
    ).astype(np.float32)
    coarse = heights.reshape(120, 20, 120, 20).mean(axis=(1, 3))
    place = from_origin(LEFT, TOP, 20 * PIXEL, 20 * PIXEL)
    files = {
        "red": raster("red.tif", heights), "dem_prior": raster("prior.tif", coarse, transform=place)
    }  # fmt: skip
    scene = scene_from_files(files)
    bundle = bundle_of(tmp_path, 0.5)
    job = plan(scene, bundle, "generate", tmp_path / "o.tif", Options())
    assert job.prior is not None
    result = assessment.assess(scene, job.network(), job.tiling, job.prior, None)
    assert result.assessed
    assert result.factor == 20
    assert result.detail > 0


@pytest.fixture
def fine(raster: Write, tmp_path: Path) -> tuple[Scene, np.ndarray, Bundle]:
    """Return a prior as fine as its image, and a bundle that adds 5 m ± √2 m."""
    heights = terrain(96, 96)
    heights[40:44, 50:55] = np.nan
    files = {
        "red": raster("red.tif", terrain(96, 96)),
        "dem_prior": raster("prior.tif", heights, nodata=float("nan")),
    }  # fmt: skip
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[5.0, 0.0], scale=1.0,
    )  # fmt: skip
    return prepare(files, tmp_path / "scene"), heights, bundle


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, 0.0),
        ({"detail": 0.0}, 0.0),
        ({"prior_accuracy": 0.0}, 0.0),
        ({"prior_accuracy": 2**0.5}, 2.5),
        ({"prior_accuracy": float("inf")}, 5.0),
    ],
)
def test_a_prior_as_fine_as_the_image_is_kept(
    fine: tuple[Scene, np.ndarray, Bundle], tmp_path: Path, options: dict[str, float], change: float
) -> None:
    scene, prior, bundle = fine
    surface = demiurge.generate(
        scene, tmp_path / "o.tif", bundle=bundle, options=Options(**options)
    )
    known = np.isfinite(prior)
    with rasterio.open(surface.path) as file:
        heights, uncertainty = file.read()
        tags = file.tags()
    assert np.isfinite(heights).all(), "its voids are filled"
    exact = 1e-4 if change == 0 else 0.01  # blending rounds
    np.testing.assert_allclose(heights[known], prior[known] + change, atol=exact)
    filled = fill_voids(prior, known)[~known]
    if options.get("prior_accuracy") != float("inf"):
        np.testing.assert_allclose(heights[~known], filled + change, atol=0.01)
    np.testing.assert_allclose(uncertainty[known], 1 if change == 2.5 else 2**0.5, rtol=1e-3)
    text = "corrects its heights" if change == 2.5 else "its heights stay as they are"
    assert any(text in note for note in surface.notes) == (change < 5)
    assert "detail" not in tags


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"detail": 0.5}, "--detail has no effect: the prior is as fine as the image"),
        ({"detail": 0.0, "prior_accuracy": 2.0}, "--detail has no effect: the prior is as fine"),
        ({"detail": 1.0, "prior_accuracy": float("inf")}, "--detail has no effect: --prior-acc"),
    ],
)
def test_options_without_effect_are_refused(
    fine: tuple[Scene, np.ndarray, Bundle], tmp_path: Path, options: dict[str, float], reason: str
) -> None:
    scene, _, bundle = fine
    with pytest.raises(UsageError, match=reason):
        demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle, options=Options(**options))


@pytest.mark.parametrize("options", [{"detail": 1.0}, {"prior_accuracy": 2.0}])
def test_without_a_prior_its_options_are_refused(
    raster: Write, tmp_path: Path, options: dict[str, float]
) -> None:
    bundle = make_bundle(tmp_path / "b.bundle")
    with pytest.raises(UsageError, match="has no effect: bundle 'b' corrects no prior here"):
        demiurge.refine(
            raster("dsm.tif", terrain()), tmp_path / "o.tif", bundle=bundle,
            options=Options(**options),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prior_accuracy": -1.0}, "--prior-accuracy is -1; choose 0 or more metres"),
        ({"prior_accuracy": float("nan")}, "--prior-accuracy is nan"),
        ({"detail": 1.5}, "--detail is 1.5; choose a share from 0 to 1"),
    ],
)
def test_options_out_of_range(
    scene: Scene, tmp_path: Path, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        demiurge.generate(
            scene, tmp_path / "o.tif", bundle=bundle_of(tmp_path, 0.0), options=Options(**options)
        )
    assert not (tmp_path / "o.tif").exists()
