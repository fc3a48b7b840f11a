"""A north-up raster in metres is cropped, never shifted: pixels keep their values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import make_bundle
from demiurge.layers import layer
from demiurge.predict.api import refine
from demiurge.scene.grid import Window, cropped_grid, full_window
from demiurge.scene.open import scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.source import Source

Write = Callable[..., Path]


def noise(rows: int = 160, columns: int = 192) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (100 + rng.standard_normal((rows, columns))).astype(np.float32)


#: Pixel centres on multiples of the pixel size, as Ames Stereo Pipeline writes them; and odd ones.
PLACES = {
    "asp 2 m": from_origin(499_999.0, 4_000_001.0, 2, 2),
    "asp 0.5 m": from_origin(499_999.75, 4_000_000.25, 0.5, 0.5),
    "odd 0.3 m": from_origin(499_999.87, 4_000_000.11, 0.3, 0.3),
    "edges on multiples": from_origin(500_000.0, 4_000_000.0, 2, 2),
}
places = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())


@places
@pytest.mark.parametrize("extent", ["intersection", "union"])
def test_prepare_keeps_the_bits_of_an_asp_dsm(
    raster: Write, tmp_path: Path, place: Any, extent: str
) -> None:
    path = raster("run-DEM.tif", noise(), transform=place)
    scene = prepare({"dsm": path}, tmp_path / "scene", extent=extent)
    assert scene.grid.affine == place
    np.testing.assert_array_equal(scene.read(layers=["dsm"])[0], noise())
    same = prepare({"dsm": path}, tmp_path / "same", extent=extent, gsd=place.a)
    np.testing.assert_array_equal(same.read(layers=["dsm"])[0], noise())


@places
def test_prepare_crops_to_the_intersection(raster: Write, tmp_path: Path, place: Any) -> None:
    """A DSM and an ortho on the same grid are both cropped and not resampled."""
    size = place.a
    moved = from_origin(place.c + 7 * size, place.f - 5 * size, size, size)
    files = {
        "dsm": raster("run-DEM.tif", noise(), transform=place),
        "truth_dsm": raster("truth.tif", noise(100, 120), transform=moved),
    }
    scene = prepare(files, tmp_path / "scene")
    assert scene.shape == (100, 120)
    np.testing.assert_array_equal(scene.read(layers=["dsm"])[0], noise()[5:105, 7:127])
    np.testing.assert_array_equal(scene.read(layers=["truth_dsm"])[0], noise(100, 120))
    union = prepare(files, tmp_path / "union", extent="union")
    truth = union.read(layers=["truth_dsm"])[0]
    np.testing.assert_array_equal(truth[5:105, 7:127], noise(100, 120))
    assert np.isnan(truth).sum() == 160 * 192 - 100 * 120


@places
def test_bounds_are_covered_by_pixels_of_the_dsm(raster: Write, tmp_path: Path, place: Any) -> None:
    path = raster("run-DEM.tif", noise(), transform=place)
    size = place.a
    box = (
        place.c + 10.4 * size, place.f - 50.6 * size, place.c + 60.6 * size, place.f - 20.4 * size
    )  # fmt: skip
    scene = prepare({"dsm": path}, tmp_path / "scene", extent=box)
    np.testing.assert_array_equal(scene.read(layers=["dsm"])[0], noise()[20:51, 10:61])


@places
def test_refine_keeps_the_grid_of_the_dsm(raster: Write, tmp_path: Path, place: Any) -> None:
    path = raster("run-DEM.tif", noise(), transform=place)
    bundle = make_bundle(tmp_path / "none.bundle", answers=[0.0, 0.0], pixel=(0.1, 5))
    refine(path, tmp_path / "out.tif", bundle=bundle)
    with rasterio.open(tmp_path / "out.tif") as result:
        assert result.transform == place
        np.testing.assert_allclose(result.read(1), noise(), atol=2e-5)


def test_images_on_the_grid_of_the_dsm_are_not_resampled(raster: Write) -> None:
    place = PLACES["asp 0.5 m"]
    wider = from_origin(place.c - 8 * 0.5, place.f + 4 * 0.5, 0.5, 0.5)
    image = noise(200, 240)
    files = {
        "dsm": raster("run-DEM.tif", noise(), transform=place),
        "ortho_left": raster("left.tif", image, transform=wider),
    }
    scene = scene_from_files(files)
    np.testing.assert_array_equal(scene.read(layers=["ortho_left"])[0], image[4:164, 8:200])
    assert scene.read(Window(3, 5, 64, 32), ["ortho_left"], step=4)[0, 1, 1] in image


def test_a_south_up_raster_keeps_its_phase(raster: Write) -> None:
    place = rasterio.Affine(2, 0, 499_999, 0, 2, 4_000_001 - 320)
    scene = scene_from_files({"dsm": raster("south.tif", noise()[::-1], transform=place)})
    assert scene.grid.affine == from_origin(499_999, 4_000_001, 2, 2)
    np.testing.assert_allclose(scene.read(layers=["dsm"])[0], noise(), atol=1e-4)


def test_undeclared_no_data_next_to_kept_pixels(raster: Write) -> None:
    data = noise()
    data[40:50, 60:70] = -9999
    source = Source.open(raster("a.tif", data, transform=PLACES["asp 2 m"]), layer("dsm"))
    box = source.grid.extent.boundingbox
    part = cropped_grid(source.grid, (box.left + 22, box.bottom + 3, box.right, box.top - 8))
    result = source.read(part, full_window(part))
    expected = np.where(data == -9999, np.nan, data)[4:159, 11:]
    np.testing.assert_array_equal(result, expected)
