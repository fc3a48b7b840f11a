"""The engine on sources and sinks of other programs: the pixels are those of files."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

import demiurge.predict
from conftest import CRS, LEFT, PIXEL, TOP, blur_graph, make_bundle, terrain, write_raster
from demiurge import Options
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.model.bundle import Bundle
from demiurge.predict.job import Job
from demiurge.predict.sinks import CHUNK
from demiurge.scene.grid import Window
from demiurge.scene.open import scene_from_files

Write = Callable[..., Path]
SHAPE = (700, 530)
GRID = GeoBox(SHAPE, Affine(PIXEL, 0, LEFT, 0, -PIXEL, TOP), CRS)


def heights() -> np.ndarray:
    """Hills with a hole, an empty corner and an outlier."""
    dsm = terrain(*SHAPE)
    dsm[300:320, 100:130] = np.nan
    dsm[:90, 400:] = np.nan
    dsm[500:503, 60:63] += 2000
    return dsm


def image() -> np.ndarray:
    rng = np.random.default_rng(1)
    return (300 + terrain(*SHAPE, seed=5) * 4 + rng.normal(0, 9, SHAPE)).astype(np.float32)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read()
    return pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the heights in a file."""
    folder = tmp_path_factory.mktemp("engine")
    write_raster(folder / "dsm.tif", heights(), nodata=float("nan"))
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return make_bundle(folder / "a.bundle", graph=blur_graph(2, 2), scale=1.0)


@pytest.fixture(scope="module")
def expected(folder: Path, bundle: Bundle) -> np.ndarray:
    """Return the bands of the result from the file."""
    demiurge.predict.run(folder / "dsm.tif", bundle, folder / "expected.tif")
    return read(folder / "expected.tif")


@dataclass
class Reader:
    """A reader that remembers the largest window."""

    grid: GeoBox
    layers: Sequence[str]
    data: np.ndarray
    largest: int = 0

    def read(self, window: Window, layers: Sequence[str]) -> np.ndarray:
        self.largest = max(self.largest, window.height * window.width)
        return np.stack([self.data[window.slices] for _ in layers])


class Writer:
    """A writer that keeps its windows."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.values: list[np.ndarray] = []

    def write(self, window: Window, values: np.ndarray) -> None:
        self.windows.append(window)
        self.values.append(values)


def test_arrays_give_the_pixels_of_files(
    bundle: Bundle, expected: np.ndarray, tmp_path: Path
) -> None:
    out = np.empty((2, *SHAPE), np.float32)
    result = demiurge.predict.run({"dsm": heights()}, bundle, out, grid=GRID)
    np.testing.assert_array_equal(out, expected)
    assert result.bands == ("dsm", "dsm_uncertainty")
    assert result.grid == GRID
    assert result.filled == 20 * 30 + 9
    assert result.tags["inputs"] == "dsm=<source>"
    lone = np.empty((2, *SHAPE), np.float32)
    demiurge.predict.run(heights(), bundle, lone, grid=GRID)
    np.testing.assert_array_equal(lone, expected)
    surface = demiurge.predict.run(heights(), bundle, tmp_path / "a.tif", grid=GRID)
    assert surface.path == tmp_path / "a.tif"
    np.testing.assert_array_equal(read(surface.path), expected)
    with rasterio.open(surface.path) as file:
        assert file.crs.to_epsg() == 32633
        assert file.transform == GRID.affine


def test_every_kind_of_array(
    folder: Path, bundle: Bundle, expected: np.ndarray, tmp_path: Path
) -> None:
    filled = np.where(np.isfinite(heights()), heights(), -32768)
    mapped = np.memmap(tmp_path / "in.f32", np.float32, "w+", shape=SHAPE)
    mapped[:] = heights()
    kinds: dict[str, dict[str, Any]] = {
        "memory-mapped": {"source": mapped},
        "masked": {"source": np.ma.masked_equal(filled, -32768)},
        "no data by value": {"source": filled, "nodata": {"dsm": [-32768]}},
        "south-up": {
            "source": heights()[::-1],
            "grid": GeoBox(SHAPE, Affine(PIXEL, 0, LEFT, 0, PIXEL, TOP - PIXEL * SHAPE[0]), CRS),
        },
        "scene": {"source": scene_from_files({"dsm": folder / "dsm.tif"}), "grid": None},
        "file": {"source": {"dsm": folder / "dsm.tif"}, "grid": None},
        "reader": {"source": Reader(GRID, ("dsm",), heights()), "grid": None},
    }
    for name, how in kinds.items():
        out = np.memmap(tmp_path / "out.f32", np.float32, "w+", shape=(2, *SHAPE))
        source = how.pop("source")
        demiurge.predict.run(source, bundle, out, **{"grid": GRID, **how})
        np.testing.assert_array_equal(out, expected, err_msg=name)


def test_xarray_and_dask(bundle: Bundle, expected: np.ndarray) -> None:
    xarray = pytest.importorskip("xarray")
    odc = pytest.importorskip("odc.geo.xr")
    array = odc.wrap_xr(heights(), GRID).rename("dsm")
    other = odc.wrap_xr(heights(), GRID)
    pytest.importorskip("dask")
    for source in (
        array,
        array.chunk(128),
        other,  # without a name: the only layer that the bundle requires
        xarray.Dataset({"dsm": array}),
        array.expand_dims("band"),
        array[::-1],
        array.fillna(-9999).assign_attrs(nodata=-9999.0),
    ):
        out = np.empty((2, *SHAPE), np.float32)
        result = demiurge.predict.run(source, bundle, out)
        np.testing.assert_array_equal(out, expected)
        assert result.grid.crs == GRID.crs


def test_several_layers_of_an_equalising_bundle(raster: Write, tmp_path: Path) -> None:
    """The equaliser is fitted on thinned reads: those of arrays are those of files."""
    files = {"dsm": raster("d.tif", heights()), "ortho_left": raster("l.tif", image())}
    bundle = make_bundle(
        tmp_path / "b.bundle", layers=("dsm", "ortho_left"), graph=blur_graph(4, 2), window=256
    )
    assert bundle.contract.equalise
    arrays = {"dsm": heights(), "ortho_left": image()}
    outs = []
    for source, grid in ((files, None), (arrays, GRID)):
        out = np.empty((2, *SHAPE), np.float32)
        demiurge.predict.run(source, bundle, out, grid=grid, options=Options(window=128))
        outs.append(out)
    np.testing.assert_array_equal(*outs)


def test_a_zarr_store_holds_the_pixels_of_a_file(
    bundle: Bundle, expected: np.ndarray, tmp_path: Path
) -> None:
    store = tmp_path / "out.zarr"
    demiurge.predict.run(heights(), bundle, store, grid=GRID)
    with rasterio.open(f'ZARR:"{store}":/dsm') as dsm:
        np.testing.assert_array_equal(dsm.read(1), expected[0])
        assert dsm.block_shapes == [(CHUNK, CHUNK)]
        assert dsm.crs.to_epsg() == 32633
        assert dsm.transform.almost_equals(GRID.affine)
        assert np.isnan(dsm.nodata)
    with rasterio.open(f'ZARR:"{store}":/dsm_uncertainty') as file:
        np.testing.assert_array_equal(file.read(1), expected[1])
    assert not list(tmp_path.glob(".*")), "the checkpoint is removed"
    with pytest.raises(UsageError, match=r"out\.zarr: exists already"):
        demiurge.predict.run(heights(), bundle, store, grid=GRID)
    options = Options(overwrite=True)
    small = GeoBox((100, 90), GRID.affine, CRS)
    demiurge.predict.run(terrain(100, 90), bundle, store, grid=small, options=options)
    with rasterio.open(f'ZARR:"{store}":/dsm') as dsm:
        assert dsm.shape == (100, 90)
        assert np.isfinite(dsm.read(1)).all()


def test_xarray_opens_a_zarr_store(bundle: Bundle, expected: np.ndarray, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("odc.geo.xr")
    store = tmp_path / "out.zarr"
    demiurge.predict.run(heights(), bundle, store, grid=GRID)
    with xarray.open_zarr(store, consolidated=False) as data:
        np.testing.assert_array_equal(data["dsm"], expected[0])
        assert data.odc.geobox == GRID
    array = zarr.open_array(tmp_path / "b.zarr", mode="w", shape=(2, *SHAPE), dtype="f4")
    demiurge.predict.run(heights(), bundle, array, grid=GRID)
    np.testing.assert_array_equal(array[:], expected)


def test_a_folder_that_is_no_store_is_not_replaced(bundle: Bundle, tmp_path: Path) -> None:
    store = tmp_path / "mine.zarr"
    store.mkdir()
    (store / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="choose another name"):
        demiurge.predict.run(heights(), bundle, store, grid=GRID, options=Options(overwrite=True))
    assert (store / "notes.txt").read_text() == "mine"


def test_windows_are_read_and_strips_are_written(bundle: Bundle) -> None:
    grid, data = GeoBox((1400, 1100), GRID.affine, CRS), terrain(1400, 1100)
    reader, writer = Reader(grid, ("dsm",), data), Writer()
    demiurge.predict.run(reader, bundle, writer)
    assert reader.largest <= 256**2
    assert [(w.row, w.height, w.width) for w in writer.windows] == [
        (0, 512, 1100), (512, 512, 1100), (1024, 376, 1100),
    ]  # fmt: skip
    out = np.empty((2, 1400, 1100), np.float32)
    demiurge.predict.run(data, bundle, out, grid=grid)
    np.testing.assert_array_equal(np.concatenate(writer.values, axis=1), out)


def test_heights_are_fitted_to_points_in_arrays_too(bundle: Bundle, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    lines = ["x,y,z", *(f"{LEFT + 20 * i},{TOP - 30 * i - 500},{50 + i}" for i in range(12))]
    points.write_text("\n".join(lines))
    options = Options(points=points, points_crs=CRS)
    out = np.empty((2, *SHAPE), np.float32)
    result = demiurge.predict.run(heights(), bundle, out, grid=GRID, options=options)
    surface = demiurge.predict.run(
        heights(), bundle, tmp_path / "o.tif", grid=GRID, options=options
    )
    assert result.fit == surface.fit is not None
    np.testing.assert_array_equal(out, read(tmp_path / "o.tif"))


def test_points_above_another_reference_than_the_scene_are_refused(
    bundle: Bundle, tmp_path: Path, raster: Callable[..., Path]
) -> None:
    points = tmp_path / "points.csv"
    lines = ["x,y,z", *(f"{LEFT + 20 * i},{TOP - 20 * i},{50 + i}" for i in range(12))]
    points.write_text("\n".join(lines))
    dsm = raster("dsm.tif", terrain(), crs="EPSG:32633+3855")
    options = Options(points=points, points_crs="EPSG:32633+5773")
    with pytest.raises(DataError, match="--to-vertical"):
        demiurge.predict.run(scene_from_files({"dsm": dsm}), bundle, tmp_path / "o.tif",
                             options=options)  # fmt: skip


def test_a_pixel_size_makes_a_grid(bundle: Bundle) -> None:
    out = np.empty((2, 100, 80), np.float32)
    result = demiurge.predict.run(terrain(100, 80), bundle, out, gsd=2.0)
    assert result.grid.affine.a == 2
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ({}, UsageError, "have no georeference; give their grid"),
        ({"source": {"dsm": heights()[:9]}, "grid": GRID}, UsageError, "is not on the grid of 700"),
        ({"source": np.zeros((3, 9, 9)), "gsd": 2.0}, UsageError, r"is not \(rows, columns\)"),
        ({"source": {"height": heights()}, "gsd": 2.0}, UsageError, "height"),
        ({"source": 7}, UsageError, "a source of type int cannot be read"),
        ({"source": {}, "gsd": 2.0}, UsageError, "no layer is given"),
        ({"source": {"ortho_left": image()}, "gsd": 2.0}, UsageError, "needs layer 'dsm'"),
        ({"grid": GeoBox(SHAPE, GRID.affine, "EPSG:4326")}, DataError, "not projected in metres"),
        ({"grid": GRID, "sink": np.zeros((1, *SHAPE))}, UsageError, r"the result \(2, 700, 530\)"),
        ({"grid": GRID, "sink": 7}, UsageError, "a sink of type int cannot be written"),
        ({"grid": GRID, "options": Options(stac=True)}, UsageError, "STAC item needs a file"),
        ({"grid": GRID, "options": Options(cluster="local:2")}, UsageError, "no effect on arrays"),
        ({"source": "nowhere.tif"}, ResourceError, "nowhere.tif"),
    ],
)
def test_sources_and_sinks_that_do_not_fit(
    bundle: Bundle, how: dict[str, Any], error: type[Exception], match: str
) -> None:
    how = {"source": heights(), "sink": np.empty((2, *SHAPE), np.float32), **how}
    with pytest.raises(error, match=match):
        demiurge.predict.run(how.pop("source"), bundle, how.pop("sink"), **how)


def test_an_interrupted_store_resumes_from_files_but_never_from_other_arrays(
    raster: Write, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raster("dsm.tif", heights(), nodata=float("nan"))
    predict, rows = Job.predict, []

    def stopped(self: Job, *given: Any) -> Any:
        for top, values in predict(self, *given):
            rows.append(top)
            yield top, values
            if len(rows) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(Job, "predict", stopped)
    for source, first in ((path, False), ({"dsm": heights()}, True)):
        rows.clear()
        grid = None if source is path else GRID
        options = Options(overwrite=True)
        with pytest.raises(KeyboardInterrupt):
            demiurge.predict.run(source, bundle, tmp_path / "o.zarr", grid=grid, options=options)
        demiurge.predict.run(source, bundle, tmp_path / "o.zarr", grid=grid, options=options)
        assert (rows[3] == 0) is first


def test_the_import_is_quick() -> None:
    code = (
        "import sys, demiurge.predict; print([m for m in ('numpy', 'xarray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {*demiurge.predict.__all__} >= {"run", "WindowReader", "WindowWriter"}
    with pytest.raises(AttributeError):
        _ = demiurge.predict.nonsense


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "howto" / "engine.md"
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(example, names)
    assert names["better"].shape == (4, 320, 320)
    assert np.isfinite(names["better"]).all()
    assert names["result"].bands == ("dtm", "dtm_uncertainty")
    assert (tmp_path / "terrain.zarr" / "dtm" / ".zarray").exists()
