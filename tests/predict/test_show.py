"""Figures and summaries of surfaces."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demiurge
from conftest import LEFT, PIXEL, TOP, blur_graph, make_bundle, terrain
from demiurge.errors import ResourceError, UsageError
from demiurge.predict import Surface
from test_summary import parsed

matplotlib = pytest.importorskip("matplotlib")
Write = Callable[..., Path]
SHAPE = (300, 200)


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def surface(raster: Write, tmp_path: Path) -> Surface:
    dsm = terrain(*SHAPE)
    dsm[:40, :40] = np.nan
    bundle = make_bundle(tmp_path / "b.bundle", graph=blur_graph(2, 2))
    path = raster("dsm.tif", dsm, crs="EPSG:32633+5773")
    return demiurge.refine(path, tmp_path / "<o>.tif", bundle=bundle, keep_voids=True)


def test_a_figure_has_colour_bar_scale_bar_title_and_coordinates(surface: Surface) -> None:
    axes = surface.plot()
    figure = axes.figure
    figure.canvas.draw()
    assert axes.get_title() == "<o>.tif: dsm"
    assert figure.axes[1].get_ylabel() == "height, m"
    extent = (LEFT, LEFT + 200 * PIXEL, TOP - 300 * PIXEL, TOP)
    picture = axes.images[0]
    assert tuple(picture.get_extent()) == extent
    assert np.isnan(np.ma.filled(picture.get_array(), np.nan)[:40, :40]).all()
    low, high = picture.get_clim()
    known = demiurge.scene_from_files({"dsm": surface.path}).read(layers=["dsm"])
    assert low == pytest.approx(np.nanpercentile(known, 1))
    assert high == pytest.approx(np.nanpercentile(known, 99))
    assert len(axes.images) == 3, "colours, shadow and light"
    (bar,) = (a for a in axes.artists if hasattr(a, "size_bar"))
    assert bar.txt_label.get_text() == "100 m"
    assert bar.size_bar.get_children()[0].get_width() == 100


def test_other_bands_and_given_axes(surface: Surface) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert surface.plot("dsm_uncertainty", ax=axes) is axes
    assert axes.figure.axes[1].get_ylabel() == "uncertainty, m"
    assert axes.images[0].get_clim()[0] == 0
    with pytest.raises(UsageError, match="has no band 'dtm'; choose dsm, dsm_uncertainty"):
        surface.plot("dtm")
    surface.path.unlink()
    with pytest.raises(ResourceError, match="no such file"):
        surface.plot()


def test_large_surfaces_are_read_from_their_overviews(raster: Write, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b.bundle")
    large = demiurge.refine(raster("d.tif", terrain(1300, 1300)), tmp_path / "o.tif", bundle=bundle)
    axes = large.plot()
    assert axes.images[0].get_array().shape == (650, 650)
    images = [a for tag, a in parsed(large._repr_html_()).seen if tag == "img"]
    assert images[0]["width"] == "217"


def test_zarr_stores_are_shown_too(raster: Write, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b.bundle")
    path = raster("dsm.tif", terrain(*SHAPE))
    store = demiurge.refine(path, tmp_path / "o.zarr", bundle=bundle)
    file = demiurge.refine(path, tmp_path / "o.tif", bundle=bundle)
    for band in store.bands:
        shown = [s.plot(band).images[0].get_array() for s in (store, file)]
        np.testing.assert_array_equal(*shown)
    assert [tag for tag, _ in parsed(store._repr_html_()).seen].count("img") == 2


def test_the_summary_names_grid_bands_and_origin(surface: Surface) -> None:
    page = parsed(surface._repr_html_())
    for text in (
        "Surface <o>.tif", "300 × 200 pixels of 2 m", "dsm, dsm_uncertainty in m", "dsm=dsm.tif",
        "orthometric (EGM96 height)", "bundle_graph_sha256", "2.67%; 0 void pixels filled",
        *surface.notes,
    ):  # fmt: skip
        assert text in page.text
    assert [tag for tag, _ in page.seen].count("img") == 2
    surface.path.unlink()
    page = parsed(surface._repr_html_())
    assert "(no longer exists)" in page.text
    assert "img" not in [tag for tag, _ in page.seen]


def test_a_prediction_without_a_file_has_a_summary(tmp_path: Path) -> None:
    from demiurge.predict import run

    out: Any = np.empty((2, 100, 80), np.float32)
    bundle = make_bundle(tmp_path / "b.bundle")
    page = parsed(run(terrain(100, 80), bundle, out, gsd=2.0)._repr_html_())
    assert "Prediction" in page.text and "local frame" in page.text


def test_without_matplotlib_the_sentence_names_the_extra(
    surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ResourceError, match=r"pip install 'demiurge\[report\]'"):
        surface.plot()
    parsed(surface._repr_html_())
