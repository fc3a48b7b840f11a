"""Tiled inference with bundles whose outputs are known."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import blur_graph, make_bundle, terrain, write_raster
from demiurge.errors import BundleError, DataError, UsageError
from demiurge.model.backend.openvino import OpenVinoRuntime
from demiurge.predict.api import generate, refine
from demiurge.predict.inference import Network, predict_rows
from demiurge.predict.options import Options
from demiurge.predict.tiling import tile
from demiurge.scene.grid import Window
from demiurge.scene.open import scene_from_files

Write = Callable[..., Path]


def predicted(scene, bundle, **options) -> np.ndarray:  # type: ignore[no-untyped-def]
    size = options.pop("size", 64)
    plan = tile(scene.shape, size, options.pop("overlap", 0.25))
    runtime = OpenVinoRuntime(bundle, plan.size, "f32")
    network = Network(bundle, runtime, in_flight=options.pop("in_flight", 4))
    rows = predict_rows(scene, network, plan, **options)
    return np.concatenate([r.values for r in rows], axis=1)


def test_a_known_correction_is_added_everywhere(raster: Write, tmp_path: Path) -> None:
    scene = scene_from_files({"dsm": raster("dsm.tif", terrain())})
    out = predicted(scene, make_bundle(tmp_path / "a.bundle"))
    np.testing.assert_allclose(out[0], terrain() + 5, atol=1e-3)
    np.testing.assert_allclose(out[1], 10 * np.sqrt(2), rtol=1e-5)


@pytest.mark.parametrize("in_flight", [1, 2, 3, 7])
def test_pixels_do_not_depend_on_the_batch(raster: Write, tmp_path: Path, in_flight: int) -> None:
    heights = terrain()
    heights[20:90, 30:70] = np.nan
    scene = scene_from_files({"dsm": raster("dsm.tif", heights)})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    one = predicted(scene, bundle, in_flight=1)
    np.testing.assert_array_equal(one, predicted(scene, bundle, in_flight=in_flight))


def test_empty_windows_are_skipped_in_order(raster: Write, tmp_path: Path) -> None:
    """Windows without data lie before, between and after those with data."""
    heights = np.full((300, 260), np.nan, np.float32)
    heights[70:110, 60:120] = 10.0
    heights[200:230, 10:50] = 20.0
    scene = scene_from_files({"dsm": raster("dsm.tif", heights, nodata=float("nan"))})
    bundle = make_bundle(tmp_path / "a.bundle")
    for in_flight in (1, 5):
        out = predicted(scene, bundle, in_flight=in_flight)[0]
        np.testing.assert_array_equal(np.isnan(out), np.isnan(heights))
        np.testing.assert_allclose(out[80, 80], 15.0, atol=1e-3)
        np.testing.assert_allclose(out[210, 20], 25.0, atol=1e-3)


def test_enclosed_voids_are_filled(raster: Write, tmp_path: Path) -> None:
    heights = terrain(256, 256)
    heights[100:110, 50:70] = np.nan  # a hole
    heights[150:230, 100:180] = np.nan  # too wide to be filled in its middle
    rows, columns = np.mgrid[:256, :256]
    outside = rows + columns < 80  # beyond a slanting edge
    heights[outside] = np.nan
    scene = scene_from_files({"dsm": raster("dsm.tif", heights, nodata=float("nan"))})
    bundle = make_bundle(tmp_path / "a.bundle")
    out = predicted(scene, bundle)[0]
    assert np.isfinite(out[100:110, 50:70]).all()
    assert np.isnan(out[185:195, 135:145]).all()
    assert np.isnan(out[outside]).mean() > 0.9
    kept = predicted(scene, bundle, keep_voids=True)[0]
    np.testing.assert_array_equal(np.isnan(kept), np.isnan(heights))


def test_voids_are_filled_where_an_image_has_data(raster: Write, tmp_path: Path) -> None:
    heights = terrain()
    heights[20:80, 50:60] = np.nan
    image = np.ones((160, 192), np.float32)
    image[:, 100:] = np.nan
    heights[:, 120:] = np.nan
    scene = scene_from_files(
        {"dsm": raster("dsm.tif", heights), "ortho_left": raster("left.tif", image)}
    )
    bundle = make_bundle(tmp_path / "a.bundle", layers=("dsm", "ortho_left"))
    out = predicted(scene, bundle)[0]
    assert np.isfinite(out[:, :100]).all(), "a void under the image is filled"
    assert np.isnan(out[:, 140:176]).all(), "no layer has data here"
    kept = predicted(scene, bundle, keep_voids=True)[0]
    np.testing.assert_array_equal(np.isnan(kept), np.isnan(heights))


def test_blending_leaves_no_seams(raster: Write, tmp_path: Path) -> None:
    scene = scene_from_files({"dsm": raster("dsm.tif", terrain(260, 260))})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2), scale=1.0)
    residual = predicted(scene, bundle, overlap=0.5)[0] - terrain(260, 260)
    steps = np.abs(np.diff(residual, axis=1)).mean(axis=0)
    plan = tile((260, 260), 64, 0.5)
    borders = [c for c in plan.columns if 0 < c < 259]
    away = np.setdiff1d(np.arange(259), [b + d for b in borders for d in (-1, 0)])
    at_borders = steps[[b - 1 for b in borders]].mean()
    assert at_borders < 1.2 * steps[away].mean()


def test_a_raster_smaller_than_a_window(raster: Write, tmp_path: Path) -> None:
    scene = scene_from_files({"dsm": raster("dsm.tif", terrain(5, 9))})
    out = predicted(scene, make_bundle(tmp_path / "a.bundle"))
    np.testing.assert_allclose(out[0], terrain(5, 9) + 5, atol=1e-3)


def test_rasters_are_padded_by_reflection(raster: Write, tmp_path: Path) -> None:
    """The network sees the reflected raster outside its edges."""
    rows, columns = np.mgrid[:40, :50].astype(np.float32)
    heights = 500 + 5 * np.sin(rows / 5) + 3 * np.cos(columns / 6)
    scene = scene_from_files({"dsm": raster("dsm.tif", heights)})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2), scale=1.0)
    residual = predicted(scene, bundle)[0] - heights
    beyond = np.pad(heights, ((0, 24), (0, 14)), mode="symmetric")
    beyond -= beyond.mean()
    from scipy.ndimage import uniform_filter

    expected = -uniform_filter(beyond.astype(np.float64), 9)[:40, :50]
    np.testing.assert_allclose(residual[4:, 4:], expected[4:, 4:], atol=0.02)
    ends = residual[-1, 4:], expected[-1, 4:]
    assert np.abs(ends[0]).max() > 1, "the mean at the edge is not biased towards 0"


def test_bands_units_and_tags_of_a_surface(raster: Write, tmp_path: Path) -> None:
    dsm = raster("dsm.tif", terrain() + 3000, crs="EPSG:32633+5773")
    bundle = make_bundle(tmp_path / "a.bundle")
    surface = refine(dsm, tmp_path / "out.tif", bundle=bundle)
    with rasterio.open(surface.path) as file:
        assert file.descriptions == ("dsm", "dsm_uncertainty")
        assert file.units == ("m", "m")
        assert np.isnan(file.nodata)
        assert file.dtypes == ("float32", "float32")
        assert "EGM96" in file.crs.to_wkt()
        tags = file.tags()
        assert tags["bundle"] == "a"
        assert tags["inputs"] == "dsm=dsm.tif"
        assert tags["units"] == "metre"
        assert tags["vertical_reference"].startswith("orthometric")
        assert file.transform == rasterio.open(dsm).transform
        assert file.profile["tiled"]
    assert surface.bands == ("dsm", "dsm_uncertainty")


def test_targets_select_bands(raster: Write, tmp_path: Path) -> None:
    dsm = raster("dsm.tif", terrain())
    bundle = make_bundle(
        tmp_path / "a.bundle", targets=("dsm", "dtm"), answers=[0.1, -0.2, 0.0, 1.0]
    )
    both = refine(dsm, tmp_path / "both.tif", bundle=bundle, options=Options(target="both"))
    assert both.bands == ("dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty")
    with rasterio.open(both.path) as file:
        np.testing.assert_allclose(file.read(3), terrain() - 2, atol=1e-3)
        np.testing.assert_allclose(file.read(4), 10 * np.e * np.sqrt(2), rtol=1e-4)
    one = refine(dsm, tmp_path / "dtm.tif", bundle=bundle, options=Options(target="dtm"))
    assert one.bands == ("dtm", "dtm_uncertainty")
    with rasterio.open(one.path) as file:
        np.testing.assert_allclose(file.read(1), terrain() - 2, atol=1e-3)
    lone = make_bundle(tmp_path / "b.bundle")
    with pytest.raises(UsageError, match="predicts no dtm"):
        refine(dsm, tmp_path / "no.tif", bundle=lone, options=Options(target="dtm"))


def test_relative_heights_are_tagged_relative(raster: Write, tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (3, 80, 80)).astype(np.uint8)
    image = raster("rgb.tif", rgb, names=["red", "green", "blue"])
    bundle = make_bundle(
        tmp_path / "g.bundle",
        task="generate",
        layers=("red", "green", "blue"),
        base=None,
        targets=("dtm",),
        relative=True,
    )
    surface = generate(image, tmp_path / "out.tif", bundle=bundle)
    assert surface.bands == ("dtm_relative", "dtm_relative_uncertainty")
    assert "it may be wrong, even inverted" in surface.notes[-1]
    with rasterio.open(surface.path) as file:
        assert file.tags()["units"] == "relative"
        assert file.tags()["shape"] == "not checked"
        assert file.units[0] == "relative"


def test_generate_corrects_a_prior_on_the_grid_of_the_image(raster: Write, tmp_path: Path) -> None:
    from rasterio.transform import from_origin

    from conftest import LEFT, TOP

    image = raster("rgb.tif", np.ones((3, 90, 90), np.uint8), names=["red", "green", "blue"])
    flat = np.full((6, 6), 700, np.float32)
    prior = raster("prior.tif", flat, transform=from_origin(LEFT - 20, TOP + 20, 40, 40))
    bundle = make_bundle(
        tmp_path / "g.bundle",
        task="generate",
        layers=("dem_prior", "red", "green", "blue"),
        base="dem_prior",
        targets=("dtm",),
    )
    alone = Options(prior_accuracy=float("inf"))
    surface = generate(image, tmp_path / "out.tif", prior=prior, bundle=bundle, options=alone)
    with rasterio.open(surface.path) as file:
        assert file.shape == (90, 90)
        np.testing.assert_allclose(file.read(1), 705, atol=1e-2)
    with pytest.raises(UsageError, match="give it with --prior"):
        generate(image, tmp_path / "no.tif", bundle=bundle)


def test_pixel_sizes_outside_the_bundles_are_refused(raster: Write, tmp_path: Path) -> None:
    dsm = raster("dsm.tif", terrain())
    bundle = make_bundle(tmp_path / "a.bundle", pixel=(10.0, 30.0))
    with pytest.raises(DataError, match="pixel size of 2 m is outside"):
        refine(dsm, tmp_path / "out.tif", bundle=bundle)
    assert not (tmp_path / "out.tif").exists()
    surface = refine(dsm, tmp_path / "out.tif", bundle=bundle, options=Options(any_pixel_size=True))
    assert surface.unknown == 0


def test_unused_layers_are_named_in_a_note(raster: Write, tmp_path: Path) -> None:
    dsm, left = raster("dsm.tif", terrain()), raster("left.tif", terrain())
    bundle = make_bundle(tmp_path / "a.bundle")
    surface = refine(dsm, tmp_path / "out.tif", left=left, bundle=bundle)
    assert any("ortho_left is not used" in note for note in surface.notes)


def test_an_equalised_scene_is_refused_by_a_bundle_trained_on_raw_images(
    raster: Write, tmp_path: Path
) -> None:
    from demiurge.model.bundle import Bundle

    files = {"dsm": raster("dsm.tif", terrain()), "ortho_left": raster("left.tif", terrain())}
    scene = scene_from_files(files).with_equalised()
    bundle = make_bundle(tmp_path / "a.bundle", layers=("dsm", "ortho_left"))
    contract = bundle.contract.model_copy(update={"equalise": False})
    raw = Bundle(bundle.path, bundle.card.model_copy(update={"contract": contract}))
    with pytest.raises(DataError, match="--no-equalise"):
        refine(scene, tmp_path / "out.tif", bundle=raw)


def test_a_graph_that_differs_from_its_card_is_refused(raster: Write, tmp_path: Path) -> None:
    dsm = raster("dsm.tif", terrain())
    bundle = make_bundle(tmp_path / "a.bundle", answers=[0.5])
    with pytest.raises(BundleError, match="promises"):
        refine(dsm, tmp_path / "out.tif", bundle=bundle)
    bundle = make_bundle(tmp_path / "b.bundle", graph=b"nonsense")
    with pytest.raises(BundleError, match="cannot be run"):
        refine(dsm, tmp_path / "out.tif", bundle=bundle)


def test_results_are_reproducible_to_the_byte(raster: Write, tmp_path: Path) -> None:
    dsm = raster("dsm.tif", terrain())
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    for name, batch in (("a.tif", 1), ("b.tif", 1), ("c.tif", 6)):
        refine(dsm, tmp_path / name, bundle=bundle, options=Options(in_flight=batch))
    first = (tmp_path / "a.tif").read_bytes()
    assert first == (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


def test_pixels_do_not_depend_on_the_area(raster: Write, tmp_path: Path) -> None:
    heights = terrain(300, 260)
    heights[40:90, 100:130] = np.nan
    scene = scene_from_files({"dsm": raster("dsm.tif", heights)})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    for overlap in (0.25, 0.6):
        full = predicted(scene, bundle, overlap=overlap)
        for area in (Window(0, 0, 70, 260), Window(130, 50, 91, 101), Window(299, 259, 1, 1)):
            part = predicted(scene, bundle, overlap=overlap, area=area)
            np.testing.assert_array_equal(part, full[(slice(None), *area.slices)])


def test_wide_rasters_are_split_into_blocks(
    raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsm = raster("dsm.tif", terrain(200, 310))
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    one = refine(dsm, tmp_path / "one.tif", bundle=bundle)
    monkeypatch.setattr("demiurge.predict.pipeline.ROW_BYTES", 4 * 64 * 3 * 100)
    strips = refine(dsm, tmp_path / "strips.tif", bundle=bundle)
    with rasterio.open(one.path) as a, rasterio.open(strips.path) as b:
        np.testing.assert_array_equal(a.read(), b.read())
    assert one.uncertainty == pytest.approx(strips.uncertainty)


def test_overviews_are_means_without_no_data(raster: Write, tmp_path: Path) -> None:
    heights = terrain(1101, 1301)
    heights[100:103, 200:203] = np.nan
    heights[700:, 900:] = np.nan
    dsm = raster("dsm.tif", heights)
    bundle = make_bundle(tmp_path / "a.bundle", window=256)
    options = Options(keep_voids=True)
    surface = refine(dsm, tmp_path / "out.tif", bundle=bundle, options=options)
    with rasterio.open(surface.path) as file:
        assert file.overviews(1) == [2, 4]
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        full = file.read(1)
    with rasterio.open(surface.path, overview_level=0) as file:
        half = file.read(1)
    assert half.shape == (551, 651)
    quads = full[:1100, :1300].reshape(550, 2, 650, 2)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(quads).sum(axis=(1, 3))
        means = np.nansum(quads, axis=(1, 3)) / known
    np.testing.assert_allclose(half[:550, :650], means, rtol=1e-6)
    np.testing.assert_allclose(half[550, 0], full[1100, :2].mean(), rtol=1e-6)


def test_a_stac_item_describes_the_surface(raster: Write, tmp_path: Path) -> None:
    dsm = raster("dsm.tif", terrain())
    bundle = make_bundle(tmp_path / "a.bundle")
    refine(dsm, tmp_path / "out.tif", bundle=bundle, options=Options(stac=True))
    item = json.loads((tmp_path / "out.stac.json").read_text())
    assert item["stac_version"] == "1.1.0"
    assert item["assets"]["surface"]["href"] == "./out.tif"
    assert item["properties"]["proj:code"] == "EPSG:32633"
    assert item["properties"]["gsd"] == 2
    assert [b["name"] for b in item["assets"]["surface"]["bands"]] == [
        "dsm", "dsm_uncertainty",
    ]  # fmt: skip
    west, south, east, north = item["bbox"]
    assert 14.9 < west < east < 15.1
    assert 36 < south < north < 37
    for lon, lat in item["geometry"]["coordinates"][0]:
        assert west - 1e-9 <= lon <= east + 1e-9
        assert south - 1e-9 <= lat <= north + 1e-9


@pytest.mark.parametrize("kind", ["Area", "Point"])
def test_area_or_point_is_kept(tmp_path: Path, kind: str) -> None:
    path = write_raster(tmp_path / "dsm.tif", terrain())
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT=kind)
        place = file.transform
    with rasterio.open(path) as file:
        assert file.tags()["AREA_OR_POINT"] == kind
    refine(path, tmp_path / "out.tif", bundle=make_bundle(tmp_path / "a.bundle"))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.tags()["AREA_OR_POINT"] == kind
        assert file.transform == place


@pytest.mark.parametrize("place", [(5, 7), (64, 64), (70, 110), (159, 0)])
def test_gross_outliers_are_voids_with_a_high_uncertainty(
    raster: Write, tmp_path: Path, place: tuple[int, int]
) -> None:
    heights = terrain()
    clean = heights.copy()
    spot = np.zeros(heights.shape, bool)
    spot[place[0] : place[0] + 3, place[1] : place[1] + 3] = True
    heights[spot] += 3000
    bundle = make_bundle(tmp_path / "a.bundle")
    options = Options(window=64, overwrite=True)
    surface = refine(raster("dsm.tif", heights), tmp_path / "o.tif", bundle=bundle, options=options)
    with rasterio.open(surface.path) as file:
        dsm, spread = file.read()
    assert np.abs(dsm - clean - 5)[spot].max() < 10
    np.testing.assert_allclose(dsm[~spot], clean[~spot] + 5, atol=1e-3)
    assert (spread[spot] > 2900).all()
    np.testing.assert_allclose(spread[~spot], 10 * np.sqrt(2), rtol=1e-5)
    (note,) = [n for n in surface.notes if "were treated as voids" in n]
    assert note.startswith(f"{spot.sum()} pixels")
    kept = predicted(
        scene_from_files({"dsm": tmp_path / "dsm.tif"}), bundle, keep_voids=True
    )  # fmt: skip
    np.testing.assert_array_equal(np.isnan(kept[0]), spot)


def test_outliers_do_not_depend_on_the_area(raster: Write, tmp_path: Path) -> None:
    heights = terrain()
    heights[60:68, 90:98] += 2000
    scene = scene_from_files({"dsm": raster("dsm.tif", heights)})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    full = predicted(scene, bundle)
    part = predicted(scene, bundle, area=Window(62, 92, 60, 80))
    np.testing.assert_array_equal(full[:, 62:122, 92:172], part)


def test_windows_are_multiples_of_what_the_network_accepts(raster: Write, tmp_path: Path) -> None:
    """A network of depth 8 halves windows of 256 pixels down to one; the raster is smaller."""
    bundle = make_bundle(
        tmp_path / "a.bundle", window=256, recipe={"network": {"depth": 8}, "chips": {"size": 256}}
    )
    dsm = raster("dsm.tif", terrain(70, 100))
    with rasterio.open(refine(dsm, tmp_path / "out.tif", bundle=bundle).path) as file:
        np.testing.assert_allclose(file.read(1), terrain(70, 100) + 5, atol=1e-3)
        assert file.tags()["window"].startswith("256 px")
    with pytest.raises(UsageError, match="takes multiples of 256 pixels"):
        refine(dsm, tmp_path / "x.tif", bundle=bundle, options=Options(window=128))
