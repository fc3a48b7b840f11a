"""Objects of xarray as scenes and back: the pixels, checks and errors of files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from conftest import CRS, LEFT, PIXEL, TOP, terrain
from demiurge import open_scene, prepare, scene_from_files, scene_from_xarray
from demiurge.errors import DataError, DemiurgeError, ResourceError, UsageError
from demiurge.scene.files import open_raster
from demiurge.scene.grid import Window

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")
pytest.importorskip("dask")

Write = Callable[..., Path]
SHAPE = (140, 120)


def heights(seed: int = 1) -> np.ndarray:
    dsm = terrain(*SHAPE, seed=seed)
    dsm[30:40, 50:70] = np.nan
    return dsm


def opened(path: Path, **how: Any) -> Any:
    """Return the first band as rioxarray opens it."""
    return rioxarray.open_rasterio(path, **how)


def plain(text: str) -> str:
    """Return a text with the name of an array, which may be numbered, as A."""
    return re.sub(r"<dsm( \d+)?>", "A", text)


def array(data: np.ndarray, crs: str | None = CRS, **attrs: Any) -> Any:
    """Return a DataArray (y, x) with coordinates, as a user makes it."""
    rows, columns = data.shape
    made = xarray.DataArray(
        data,
        {
            "y": TOP - PIXEL * (np.arange(rows) + 0.5),
            "x": LEFT + PIXEL * (np.arange(columns) + 0.5),
        },
        ("y", "x"),
        attrs=attrs,
    )
    return made if crs is None else made.rio.write_crs(crs)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chunks", [None, 64])
def test_opened_files_have_the_pixels_of_the_files(
    raster: Write, masked: bool, chunks: int | None
) -> None:
    dsm = np.nan_to_num(heights(), nan=-9999)
    path = raster("dsm.tif", dsm, nodata=-9999)
    expected = scene_from_files({"dsm": path})
    how = {} if chunks is None else {"chunks": {"x": chunks, "y": chunks}}
    scene = scene_from_xarray({"dsm": opened(path, masked=masked, **how)})
    assert scene.grid == expected.grid
    assert scene.grid.affine == expected.grid.affine, "to the bit"
    np.testing.assert_array_equal(scene.read(layers=["dsm"]), expected.read(layers=["dsm"]))
    for window in (Window(3, 5, 70, 33), Window(63, 63, 2, 2), Window(139, 0, 1, 120)):
        np.testing.assert_array_equal(scene.read(window), expected.read(window))
    np.testing.assert_array_equal(scene.read(step=3), expected.read(step=3))


@pytest.mark.parametrize(
    ("crs", "transform", "slack"),
    [
        ("EPSG:4326", Affine(2e-5, 0, 15.0, 0, -2e-5, 36.14), 0),
        ("EPSG:32634", Affine(3, 0, -40000.0, 0, -3, 4003000.0), 0),
        (CRS, Affine(PIXEL, 0, LEFT, 0, PIXEL, TOP), 0),  # south-up
    ],
)
def test_other_grids_are_warped_as_those_of_files(
    raster: Write, crs: str, transform: Affine, slack: int
) -> None:
    path = raster("dsm.tif", heights(), crs=crs, transform=transform)
    expected = scene_from_files({"dsm": path})
    for data in (opened(path), opened(path, chunks={"x": 50, "y": 50})):
        scene = scene_from_xarray({"dsm": data})
        assert scene.grid == expected.grid
        assert [plain(n) for n in scene.notes] == [
            n.replace(str(path), "A") for n in expected.notes
        ]
        np.testing.assert_array_equal(scene.read(), expected.read())


def test_scaled_integers_have_the_pixels_of_the_file(raster: Write) -> None:
    stored = np.nan_to_num(heights() * 100, nan=-32768).astype(np.int16)
    path = raster("dsm.tif", stored, nodata=-32768, scale=0.01, offset=5)
    expected = scene_from_files({"dsm": path}).read(layers=["dsm"])
    raw = scene_from_xarray({"dsm": opened(path)}).read(layers=["dsm"])
    np.testing.assert_array_equal(raw, expected)
    decoded = scene_from_xarray({"dsm": opened(path, mask_and_scale=True)}).read(layers=["dsm"])
    np.testing.assert_allclose(decoded, expected, atol=2e-5)


def test_slices_and_orders_of_axes_keep_their_place() -> None:
    entire = scene_from_xarray({"dsm": array(heights())})
    data = array(heights()).rio.write_transform()
    part = scene_from_xarray({"dsm": data[20:100, 30:90]})
    assert part.grid.affine == entire.grid.affine * Affine.translation(30, 20)
    np.testing.assert_array_equal(part.read()[0], entire.read()[0, 20:100, 30:90])
    for other in (data[::-1], data[:, ::-1], data.T, data.expand_dims(("band", "time"))):
        scene = scene_from_xarray({"dsm": other})
        assert scene.grid == entire.grid
        np.testing.assert_array_equal(scene.read(), entire.read())
    with xarray.set_options(keep_attrs=True):
        coarse = data.coarsen(x=2, y=2).mean()  # its stored transform is out of date
    assert scene_from_xarray({"dsm": coarse}).pixel_size == 2 * PIXEL


@pytest.mark.parametrize("names", [("lat", "lon"), ("latitude", "longitude"), ("rows", "cols")])
def test_names_of_dimensions(names: tuple[str, str]) -> None:
    y, x = names
    data = xarray.DataArray(
        heights(), {y: 36.1 - 2e-5 * np.arange(140), x: 15 + 2e-5 * np.arange(120)}, names
    )
    if y == "rows":
        with pytest.raises(UsageError, match=r"\(rows, cols\) are rows and columns; name them y"):
            scene_from_xarray({"dsm": data.rio.write_crs("EPSG:4326")})
        return
    with pytest.raises(DataError, match=r'no coordinate reference.*write_crs\("EPSG:4326"\)'):
        scene_from_xarray({"dsm": data})
    scene = scene_from_xarray({"dsm": data.rio.write_crs("EPSG:4326")})
    assert scene.grid.crs.to_epsg() == 32633
    assert np.isfinite(scene.read(layers=["dsm"])).mean() > 0.9


def test_a_dataset_names_its_layers() -> None:
    image = np.full(SHAPE, 300, np.float32) + heights(3)
    data = xarray.Dataset(
        {"dsm": array(heights()), "west": array(image), "quality": array(image)},
        attrs={"title": "here"},
    )
    scene = scene_from_xarray(data)
    assert scene.layers == ("dsm", "valid")
    assert scene.name == "here"
    assert scene.notes == ("not used: west, quality, which no layer is called",)
    scene = scene_from_xarray(data, layers={"dsm": "dsm", "ortho_left": "west"})
    assert scene.layers == ("dsm", "ortho_left", "valid")
    assert not scene.notes
    scene = scene_from_xarray(data["dsm"], layers={"dsm": data["dsm"], "ortho_left": array(image)})
    np.testing.assert_array_equal(scene.read(layers=["ortho_left"])[0], image)


def test_layers_of_different_grids_and_files_mix(raster: Write) -> None:
    path = raster("left.tif", 300 + heights(2), transform=Affine(3, 0, LEFT, 0, -3, TOP))
    scene = scene_from_xarray({"dsm": array(heights()), "ortho_left": path})
    expected = scene_from_files(
        {"dsm": raster("dsm.tif", heights()), "ortho_left": path}, extent="intersection"
    )
    assert scene.shape == SHAPE
    np.testing.assert_array_equal(
        scene.read(Window(0, 0, *expected.shape)), expected.read(layers=scene.layers)
    )


def test_dask_arrays_are_read_by_window_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demiurge.scene.arrays._KEPT", 8 * 4 * 256**2)
    import dask.array as da

    computed = []

    def block(block_info: Any = None) -> np.ndarray:
        computed.append(block_info[None]["chunk-location"])
        return np.ones((256, 256), np.float32) * (1 + len(computed))

    lazy = da.map_blocks(
        block, chunks=((256,) * 8, (256,) * 8), dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )
    data = array(np.broadcast_to(np.float32(0), (2048, 2048))).copy(data=lazy)
    scene = scene_from_xarray({"ortho_left": data})
    computed.clear()
    for row in range(0, 200, 40):
        scene.read(Window(300 + row, 700, 120, 120), ["ortho_left"])
    assert 1 <= len(set(computed)) == len(computed) <= 6


CHECKS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"unit": "ft"}, {"units": "ft"}, "heights are in 'ft', not in metres"),
    ({"unit": "K"}, {"units": "K"}, "the unit of heights, 'K', is unknown"),
    ({"crs": None}, {"crs": None}, "has no coordinate reference system"),
]


@pytest.mark.parametrize(("file", "attrs", "match"), CHECKS)
def test_checks_of_files_act_on_arrays(
    raster: Write, file: dict[str, Any], attrs: dict[str, Any], match: str
) -> None:
    path = raster("dsm.tif", heights(), **file)
    with pytest.raises(DataError, match=match) as of_file:
        scene_from_files({"dsm": path})
    with pytest.raises(DataError, match=match) as of_array:
        scene_from_xarray({"dsm": array(heights(), **attrs)})
    assert plain(of_array.value.what) == of_file.value.what.replace(str(path), "A")


def test_undeclared_no_data_is_found_in_arrays_as_in_files(raster: Write) -> None:
    odd = heights() + 700
    odd[5:9, 5:9] = -77
    path = raster("dsm.tif", odd)
    for files in ({"dsm": path}, {"dsm": array(odd)}, {"dsm": array(odd).chunk(32)}):
        with pytest.raises(DataError, match="16 pixels are exactly -77"):
            scene_from_xarray(files)
        scene = scene_from_xarray(files, nodata={"dsm": [-77]})
        assert np.isnan(scene.read(layers=["dsm"])[0, 5:9, 5:9]).all()
    common = np.nan_to_num(heights(), nan=-9999)
    scene = scene_from_xarray({"dsm": array(common)})
    assert np.isnan(scene.read(layers=["dsm"])[0, 30:40, 50:70]).all()
    assert "-9999" in scene.sources["dsm"].remarks[0]
    declared = scene_from_xarray({"dsm": array(common, _FillValue=-9999.0)})
    assert not declared.sources["dsm"].remarks
    np.testing.assert_array_equal(declared.read(), scene.read())


def test_bytes_are_no_heights() -> None:
    with pytest.raises(DataError, match="has 8 bits, like a picture"):
        scene_from_xarray({"dsm": array(np.zeros(SHAPE, np.uint8))})
    flags = np.isfinite(heights())
    scene = scene_from_xarray({"dsm": array(heights()), "landcover": array(flags)})
    np.testing.assert_array_equal(scene.read(layers=["landcover"])[0], flags)


def test_vertical_references_agree_or_are_refused() -> None:
    ellipsoidal = array(heights(), vertical_reference="ellipsoidal (WGS 84)")
    geoid = array(heights(), crs="EPSG:32633+5773")
    assert str(scene_from_xarray({"dsm": ellipsoidal}).vertical) == "ellipsoidal (WGS 84)"
    assert scene_from_xarray({"dsm": geoid}).vertical.datum == "EGM96 height"
    with pytest.raises(DataError, match=r"are ellipsoidal.*are orthometric"):
        scene_from_xarray({"dsm": ellipsoidal, "dem_prior": geoid})


def wrong(**change: Any) -> Any:
    data = array(heights())
    return data.assign_coords(**{k: (k, v) for k, v in change.items()})


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        ({"dsm": wrong(x=np.geomspace(1, 900, 120))}, DataError, "'x' are not evenly spaced"),
        ({"dsm": array(heights())[:1]}, DataError, "only one value of 'y'"),
        ({"dsm": array(heights()).drop_vars(("x", "y"))}, DataError, "no coordinates of rows"),
        ({"dsm": array(heights()).astype("datetime64[s]")}, DataError, "values of type datetime"),
        ({"dsm": array(heights(), _FillValue="none")}, DataError, "'none', not a number"),
        ({"dsm": array(heights()) * 1j}, DataError, "is complex"),
        ({"height": array(heights())}, UsageError, r"no layer is recognised.*\(height\)"),
        ({"dsm": array(heights()), "DSM": array(heights())}, UsageError, "two variables are layer"),
        (array(heights()), UsageError, "no layer is recognised"),
        (7, UsageError, "a source of type int"),
        (
            {"dsm": xarray.concat([array(heights())] * 3, "time")},
            UsageError,
            r"3 values of 'time'; select one with .isel\(time=0\)",
        ),
        (
            {"dsm": array(heights()), "ndvi": array(heights()).assign_coords(x=np.arange(120.0))},
            DataError,
            "<ndvi>: layer 'ndvi' does not overlap",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(data: Any, error: type[DemiurgeError], match: str) -> None:
    with pytest.raises(error, match=match):
        scene_from_xarray(data)


def test_unknown_variables_are_refused() -> None:
    data = xarray.Dataset({"elevation": array(heights())})
    with pytest.raises(UsageError, match=r"layers=\{'dsm': 'elevation'\}"):
        scene_from_xarray(data)
    with pytest.raises(UsageError, match="there is no variable 'height'; the"):
        scene_from_xarray(data, layers={"dsm": "height"})
    with pytest.raises(UsageError, match="no layer called 'heights'"):
        scene_from_xarray(data, layers={"heights": "elevation"})


def test_names_of_arrays_end_with_them() -> None:
    scene = scene_from_xarray({"dsm": array(heights())})
    other = scene_from_xarray({"dsm": array(heights() + 1)})
    names = [s.sources["dsm"].path for s in (scene, other)]
    assert len({*names}) == 2
    assert open_raster(names[0]).shape == SHAPE
    np.testing.assert_array_equal(other.read()[0], heights() + 1)
    del scene, other
    with pytest.raises(ResourceError, match="the array is no longer in memory"):
        open_raster(names[0])


def test_a_scene_as_a_dataset_and_back(raster: Write, tmp_path: Path) -> None:
    files = {
        "dsm": raster("d.tif", heights(), crs="EPSG:32633+5773"),
        "ortho_left": raster("l.tif", 300 + heights(2), transform=Affine(3, 0, LEFT, 0, -3, TOP)),
    }
    prepare(files, tmp_path / "scene", gsd=4)
    scene = open_scene(tmp_path / "scene")
    data = scene.to_xarray(chunks=16)
    assert data["dsm"].chunks[0][0] == 16
    assert data.rio.crs == scene.grid.crs.to_wkt()
    assert data.rio.transform() == scene.grid.affine
    assert np.isnan(data["dsm"].rio.nodata)
    assert data["dsm"].attrs["units"] == "m"
    assert data["dsm"].attrs["vertical_reference"] == "orthometric (EGM96 height)"
    assert set(data) == set(scene.layers)
    for name in scene.layers:
        assert data[name].dtype == np.float32
        np.testing.assert_array_equal(data[name], scene.read(layers=[name])[0])
    again = scene_from_xarray(data)
    assert again.grid.affine == scene.grid.affine
    assert again.vertical == scene.vertical
    np.testing.assert_array_equal(again.read(layers=scene.layers), scene.read())
    data["dsm"].rio.to_raster(tmp_path / "again.tif")
    written = scene_from_files({"dsm": tmp_path / "again.tif"})
    np.testing.assert_array_equal(written.read(layers=["dsm"]), scene.read(layers=["dsm"]))
    loaded = scene.to_xarray(["dsm"], chunks=None)
    assert isinstance(loaded["dsm"].data, np.ndarray)
    with pytest.raises(UsageError, match="no layer 'ndvi'"):
        scene.to_xarray(["ndvi"])


def test_a_dataset_reads_only_the_windows_that_are_computed(
    raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_from_files({"dsm": raster("d.tif", heights())})
    windows: list[Window] = []
    read = type(scene).read

    def remember(self: Any, window: Any = None, *given: Any, **named: Any) -> Any:
        windows.append(window)
        return read(self, window, *given, **named)

    monkeypatch.setattr(type(scene), "read", remember)
    data = scene.to_xarray(chunks=50)
    assert windows == []
    data["dsm"][:10, 60:70].compute()
    assert [tuple(w) for w in windows] == [(0, 60, 10, 10)]


def test_without_rioxarray_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    data = array(heights())
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    with pytest.raises(ResourceError, match=r"pip install 'demiurge\[xarray\]'"):
        scene_from_xarray({"dsm": data})
