"""refine, generate and evaluate on arrays of xarray: the pixels and statistics of files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import blur_graph, make_bundle, terrain
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.model.bundle import Bundle
from demiurge.predict.sinks import MemoryWriter

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")
pytest.importorskip("dask")

Write = Callable[..., Path]
SHAPE = (300, 270)


def heights() -> np.ndarray:
    dsm = terrain(*SHAPE)
    dsm[100:110, 100:130] = np.nan
    dsm[200:203, 60:63] += 2000
    return dsm


def image(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (300 + terrain(*SHAPE, seed=5) * 4 + rng.normal(0, 9, SHAPE)).astype(np.float32)


def opened(path: Path, **how: Any) -> Any:
    return rioxarray.open_rasterio(path, **how)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read()
    return pixels


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(
        tmp_path / "b.bundle", layers=("dsm", "ortho_left"), graph=blur_graph(4, 2), window=128
    )


@pytest.mark.parametrize("chunks", [None, 100])
def test_refine_of_arrays_has_the_pixels_of_files(
    raster: Write, bundle: Bundle, tmp_path: Path, chunks: int | None
) -> None:
    dsm, left = raster("dsm.tif", heights(), crs="EPSG:32633+5773"), raster("left.tif", image())
    surface = demiurge.refine(dsm, tmp_path / "o.tif", left=left, bundle=bundle)
    how = {} if chunks is None else {"chunks": {"x": chunks, "y": chunks}}
    arrays = opened(dsm, **how), opened(left, **how)
    data = demiurge.refine(arrays[0], left=arrays[1], bundle=bundle)
    assert isinstance(data, xarray.Dataset)
    assert tuple(data) == surface.bands == ("dsm", "dsm_uncertainty")
    for plane, name in zip(read(surface.path), data, strict=True):
        np.testing.assert_array_equal(data[name], plane)
    assert data.rio.transform() == surface.grid.affine
    assert data.rio.crs == rasterio.open(surface.path).crs
    assert data["dsm"].attrs["units"] == "m"
    assert data["dsm"].attrs["vertical_reference"] == "orthometric (EGM96 height)"
    assert np.isnan(data["dsm"].rio.nodata)
    assert data.attrs["bundle"] == "b"
    assert "gross outliers" in data.attrs["notes"]
    data.rio.to_raster(tmp_path / "again.tif")
    np.testing.assert_array_equal(read(tmp_path / "again.tif"), read(surface.path))
    data.to_netcdf(tmp_path / "again.nc", engine="scipy")
    written = demiurge.refine(arrays[0], tmp_path / "p.tif", left=arrays[1], bundle=bundle)
    np.testing.assert_array_equal(read(written.path), read(surface.path))


def test_a_dataset_or_a_scene_gives_the_same(raster: Write, bundle: Bundle) -> None:
    files = {"dsm": raster("dsm.tif", heights()), "ortho_left": raster("left.tif", image())}
    scene = demiurge.scene_from_files(files)
    expected = demiurge.refine(scene, bundle=bundle)
    data = xarray.Dataset({n: opened(f).squeeze("band", drop=True) for n, f in files.items()})
    for source in (data, scene.to_xarray(), demiurge.scene_from_xarray(data)):
        result = demiurge.refine(source, bundle=bundle)
        for name in expected:
            np.testing.assert_array_equal(result[name], expected[name])
    with pytest.raises(UsageError, match="--left cannot be added to a scene"):
        demiurge.refine(data, left=data["ortho_left"], bundle=bundle)


def test_generate_of_arrays_has_the_pixels_of_files(raster: Write, tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "g.bundle",
        task="generate",
        layers=("red", "green", "dem_prior"),
        base="dem_prior",
        targets=("dtm",),
        graph=blur_graph(6, 2),
        window=128,
    )
    bands = np.stack([image(1), image(2)])
    rgb = raster("rgb.tif", bands, names=["red", "green"])
    prior = raster("prior.tif", terrain(*SHAPE))
    surface = demiurge.generate(rgb, tmp_path / "o.tif", prior=prior, bundle=bundle)
    data = demiurge.generate(opened(rgb), prior=opened(prior), bundle=bundle)
    np.testing.assert_array_equal(np.stack([data[n] for n in data]), read(surface.path))
    nameless = opened(rgb).drop_attrs(deep=False)
    with pytest.raises(UsageError, match="no layer is recognised in its bands; name its bands"):
        demiurge.generate(nameless, prior=prior, bundle=bundle)
    named = demiurge.generate(nameless, prior=prior, bands={"red": 1, "green": 2}, bundle=bundle)
    np.testing.assert_array_equal(named["dtm"], data["dtm"])
    labelled = nameless.assign_coords(band=["red", "green"])
    np.testing.assert_array_equal(
        demiurge.generate(labelled, prior=prior, bundle=bundle)["dtm"], data["dtm"]
    )


def test_an_image_without_crs_gets_a_local_frame(tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("red",), base=None, relative=True,
        targets=("dtm",), graph=blur_graph(2, 2), window=128, pixel=(1, 4),
    )  # fmt: skip
    data = xarray.DataArray(image(), dims=("y", "x"), name="red")
    result = demiurge.generate(data, gsd=2.0, bundle=bundle)
    assert result.rio.resolution() == (2, -2)
    assert result["dtm_relative"].attrs["units"] == "relative"


def test_evaluate_of_arrays_has_the_statistics_of_files(
    raster: Write, bundle: Bundle, tmp_path: Path
) -> None:
    dsm, left = raster("dsm.tif", heights()), raster("left.tif", image())
    truth = raster("truth.tif", terrain(*SHAPE) + 0.2)
    surface = demiurge.refine(dsm, tmp_path / "o.tif", left=left, bundle=bundle)
    data = demiurge.refine(dsm, left=left, bundle=bundle)
    expected = demiurge.evaluate(surface.path, truth, baseline=dsm)
    for given in (data, opened(surface.path)):
        result = demiurge.evaluate(given, opened(truth), baseline=opened(dsm))
        assert result.surface == expected.surface
        assert result.common == expected.common
        assert result.uncertainty == expected.uncertainty is not None
    alone = demiurge.evaluate(data["dsm"], truth)
    assert alone.surface.mae == expected.surface.mae
    assert alone.uncertainty is None


def test_relative_surfaces_are_compared_after_a_fit(raster: Write, tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("red",), base=None, relative=True,
        targets=("dtm",), graph=blur_graph(2, 2), window=128, pixel=(1, 4),
    )  # fmt: skip
    red = raster("red.tif", image(), names=["red"])
    truth = raster("truth.tif", terrain(*SHAPE))
    surface = demiurge.generate(red, tmp_path / "o.tif", bundle=bundle)
    expected = demiurge.evaluate(surface.path, truth)
    for given in (demiurge.generate(red, bundle=bundle), opened(surface.path)):
        result = demiurge.evaluate(given, truth)
        assert result.relative
        assert result.surface == expected.surface


def test_the_checks_of_files_act(raster: Write, bundle: Bundle) -> None:
    left = opened(raster("left.tif", image()))
    feet = opened(raster("dsm.tif", heights(), unit="ft"))
    with pytest.raises(DataError, match="heights are in 'ft', not in metres"):
        demiurge.refine(feet, left=left, bundle=bundle)
    good = feet.assign_attrs(units="m")
    with pytest.raises(DataError, match="are ellipsoidal"):
        demiurge.evaluate(
            good.assign_attrs(vertical_reference="ellipsoidal"),
            good.assign_attrs(vertical_reference="orthometric (EGM96 height)"),
        )
    with pytest.raises(UsageError, match="--cluster has no effect on arrays"):
        demiurge.refine(good, "o.tif", left=left, bundle=bundle, cluster="local:2")
    with pytest.raises(UsageError, match="STAC item needs a file"):
        demiurge.refine(good, left=left, bundle=bundle, stac=True)
    with pytest.raises(UsageError, match="left is 7"):
        demiurge.refine(good, left=7, bundle=bundle)


def test_a_result_larger_than_the_memory_is_refused() -> None:
    with pytest.raises(ResourceError, match=r"exceeds the free memory.*give a path"):
        MemoryWriter().require_shape((4, 2**20, 2**20))
