"""Heights that are tied to a coarse prior, and how much of a bundle's detail a scene speaks for."""

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
from demiurge.predict.options import Options
from demiurge.scene.open import name_inputs, open_scene
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene

Write = Callable[..., Path]
FACTOR, SIDE = 3, 384
INSIDE = (slice(12, -12),) * 2


def land() -> np.ndarray:
    """Hills with ridges and valleys of all widths, as real ones have."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found = np.zeros((SIDE, SIDE))
    for width in (9, 13, 21, 34, 55, 89):
        angle = rng.uniform(0, np.pi)
        along = rows * np.cos(angle) + columns * np.sin(angle) + rng.uniform(0, width)
        found += 0.3 * width * np.abs(np.sin(np.pi * along / width))
    return found.astype(np.float32)


def sharpening_graph(gain: float) -> bytes:
    """Return a graph that answers with what the second plane has above its 5 × 5 mean."""
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
    """One that reads heights off the red band, as they are (1), upside down (-1), or not at all."""
    return make_bundle(
        folder / "g.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), scale=1.0, pixel=(1.0, 20.0), window=128, graph=sharpening_graph(gain),
    )  # fmt: skip


@pytest.fixture
def scene(raster: Write, tmp_path: Path) -> Scene:
    """Its red band is its heights, which the prior has in blocks of 3 × 3."""
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
    """Return the RMSE over that of the interpolated prior; of the southern half if asked."""
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
        found = file.read(1)
    inside = (slice(SIDE // 2, -12), slice(12, -12)) if south else INSIDE
    rmse = [float(np.square(h - truth)[inside].mean() ** 0.5) for h in (found, prior)]
    return rmse[0] / rmse[1], surface


def test_a_prepared_scene_knows_the_pixels_of_its_prior(scene: Scene) -> None:
    native = scene.sources["dem_prior"].native
    assert native is not None
    assert native.affine.a == PIXEL * FACTOR
    assert scene.folder is not None
    again = open_scene(scene.folder)
    assert again.sources["dem_prior"].native == native


def test_a_bundle_that_knows_nothing_does_no_harm(scene: Scene, tmp_path: Path) -> None:
    """Sharpened to its own means, the prior is better than interpolated."""
    ratio, surface = error(scene, bundle_of(tmp_path, 0.0))
    assert ratio < 0.9
    assert any("0% of the bundle's detail" in note for note in surface.notes)


def test_detail_that_helps_is_kept(scene: Scene, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, 0.5)
    judged, surface = error(scene, bundle)
    with rasterio.open(surface.path) as file:
        tags = file.tags()
    assert judged < error(scene, bundle, detail=0.0)[0] - 0.1
    assert any("judged on this scene made 3 times coarser" in note for note in surface.notes)
    assert tags["detail_from"] == "judged at reduced resolution"
    assert float(tags["detail"]) > 0.5
    assert tags["prior_accuracy"] == "not told"


def test_detail_that_harms_is_left_out(scene: Scene, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, -0.5)
    judged, _ = error(scene, bundle)
    assert error(scene, bundle, detail=1.0)[0] > judged + 0.2
    assert judged == pytest.approx(error(scene, bundle, detail=0.0)[0], abs=1e-4)


def test_voids_of_the_prior_are_left_out_of_the_judgement(raster: Write, tmp_path: Path) -> None:
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
    assert any("judged on this scene" in note for note in surface.notes)
    assert ratio < 0.8


def test_heights_keep_the_level_of_a_good_prior_alone(scene: Scene, tmp_path: Path) -> None:
    """The bundle adds 5 m everywhere, and takes itself to be √2 m off."""
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[5.0, 0.0], scale=1.0, pixel=(1.0, 20.0),
    )  # fmt: skip
    prior = scene.read(layers=["dem_prior"])[0]
    levels, doubts = [], []
    for accuracy in (None, 0.0, 2**0.5, float("inf")):
        _, surface = error(scene, bundle, prior_accuracy=accuracy)
        with rasterio.open(surface.path) as file:
            heights, doubt = file.read()
        levels.append(float((heights - prior)[INSIDE].mean()))
        doubts.append(float(doubt.mean()))
    np.testing.assert_allclose(levels, [0, 0, 2.5, 5], atol=0.1)
    assert doubts[3] == pytest.approx(2**0.5, rel=1e-3)
    assert doubts[0] > 5, "the 5 m that were withheld are missing"


def test_the_prior_may_lie_in_degrees(raster: Write, tmp_path: Path) -> None:
    """Its pixels are turned and stretched against the image's then; files are laid as they are."""
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
    assert error(scene, bundle_of(tmp_path, 0.0), detail=0.0)[0] < 0.95


def test_a_scene_too_small_to_judge_on_says_so(raster: Write, tmp_path: Path) -> None:
    wide = PIXEL * FACTOR
    prior = raster("prior.tif", terrain(20, 20), transform=from_origin(LEFT, TOP, wide, wide))
    files = {"red": raster("red.tif", terrain(60, 60)), "dem_prior": prior}
    scene = prepare(files, tmp_path / "scene")
    surface = demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle_of(tmp_path, 0.5))
    assert any("too small to judge" in note for note in surface.notes)
    with rasterio.open(surface.path) as file:
        assert file.tags()["detail_from"] == "not judged"


def test_a_prior_as_fine_as_the_image_holds_nothing_and_that_is_told(
    raster: Write, tmp_path: Path
) -> None:
    heights = terrain(96, 96)
    files = {"red": raster("red.tif", heights), "dem_prior": raster("prior.tif", heights)}
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",),
    )  # fmt: skip
    scene = prepare(files, tmp_path / "scene")
    surface = demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle)
    assert any("nothing holds the bundle to it" in note for note in surface.notes)
    with rasterio.open(surface.path) as file:
        np.testing.assert_allclose(file.read(1), heights + 5, atol=0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prior_accuracy": -1.0}, "--prior-accuracy is -1; choose 0 or more metres"),
        ({"prior_accuracy": float("nan")}, "--prior-accuracy is nan"),
        ({"detail": 1.5}, "--detail is 1.5; choose a share from 0 to 1"),
    ],
)
def test_options_that_make_no_sense(
    scene: Scene, tmp_path: Path, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        demiurge.generate(
            scene, tmp_path / "o.tif", bundle=bundle_of(tmp_path, 0.0), options=Options(**options)
        )
    assert not (tmp_path / "o.tif").exists()
