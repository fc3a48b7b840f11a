"""Layers of the viewer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.viewer.catalogue import Catalogue, needs_cog, open_catalogue
from demiurge.viewer.cog import with_cogs
from demiurge.viewer.layers import describe
from view_rasters import GSD, heights, write


def test_bands_become_layers(catalogue: Catalogue) -> None:
    shown = [(one.title, one.show, one.unit) for one in catalogue.layers.values()]
    assert shown == [
        ("better.tif: dsm", "height", "m"),
        ("better.tif: dsm_uncertainty", "uncertainty", "m"),
        ("better.tif: dtm", "height", "m"),
        ("better.tif: dtm_uncertainty", "uncertainty", "m"),
        ("initial.tif", "height", "m"),
        ("image.tif", "image", "DN"),
    ]
    assert catalogue.layers["L0"].uncertainty == "L1"
    assert not catalogue.local


def test_surfaces_share_one_range(catalogue: Catalogue) -> None:
    ranges = {(o.low, o.high) for o in catalogue.layers.values() if o.show == "height"}
    assert len(ranges) == 1
    low, high = ranges.pop()
    assert low == pytest.approx(100, abs=1.5)
    assert 125 < high < 132


def test_differences_are_symmetric_and_exact(catalogue: Catalogue) -> None:
    made = catalogue.find("L4-L0")
    assert made.show == "difference"
    assert made.title == "initial.tif − better.tif: dsm"
    assert (made.low, made.high) == (pytest.approx(-1, abs=1e-4), pytest.approx(1, abs=1e-4))
    values = made.read(made.grid)
    np.testing.assert_allclose(values[np.isfinite(values)], 1, atol=1e-4)


def test_the_range_of_a_difference_is_computed_once(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = catalogue.find("L4-L0")
    monkeypatch.setattr("demiurge.viewer.catalogue.difference", None)
    assert catalogue.find("L4-L0") is made


def test_the_range_of_a_growing_difference_follows_its_pixels(catalogue: Catalogue) -> None:
    catalogue.layers["L0"] = replace(catalogue.layers["L0"], growing=True)
    assert catalogue.find("L4-L0") is not catalogue.find("L4-L0")


@pytest.mark.parametrize("key", ["L9", "../L0", "L0-L9", "L0-L5", "L0-L1", "", "L0-L4-L2"])
def test_other_names_are_refused(catalogue: Catalogue, key: str) -> None:
    with pytest.raises(UsageError):
        catalogue.find(key)


def test_a_layer_is_described_without_its_path(catalogue: Catalogue, tmp_path: Path) -> None:
    text = str(describe(catalogue.layers["L0"]))
    assert str(tmp_path) not in text
    assert describe(catalogue.layers["L0"])["pixel_size"] == GSD


def test_rasters_without_crs_keep_their_places(tmp_path: Path) -> None:
    z = heights()[None]
    first = write(tmp_path / "a.tif", z, crs=None, transform=from_origin(1000, 2000, 1, 1))
    second = write(tmp_path / "b.tif", z, crs=None, transform=from_origin(1010, 1990, 1, 1))
    opened = open_catalogue([first, second])
    assert opened.local
    a, b = (opened.layers[key].grid.affine for key in ("L0", "L1"))
    assert (b.c - a.c, b.f - a.f) == (10, -10)


def test_with_and_without_crs_do_not_mix(tmp_path: Path, files: list[Path]) -> None:
    plain = write(tmp_path / "a.tif", heights()[None], crs=None)
    with pytest.raises(DataError, match="others have none"):
        open_catalogue([files[0], plain])


def test_degrees_without_crs_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif", heights()[None], crs=None, transform=from_origin(10, 50, 1e-4, 1e-4)
    )
    with pytest.raises(DataError, match="degrees"):
        open_catalogue([path])


def test_reports_alone_show_nothing(tmp_path: Path, files: list[Path]) -> None:
    report = tmp_path / "r.html"
    report.write_text("<p>report</p>")
    assert open_catalogue([files[0], report]).reports == {"R0": report}
    with pytest.raises(DataError, match="no raster"):
        open_catalogue([report])
    with pytest.raises(ResourceError):
        open_catalogue([tmp_path / "none.tif"])


def test_large_rasters_without_tiles_get_a_cog(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.tif", np.zeros((1, 16, 5000), np.float32))
    assert any("--make-cog" in note for note in open_catalogue([path]).notes)
    (copied,) = with_cogs([path])
    assert copied == str(tmp_path / "wide.cog.tif")
    with rasterio.open(copied) as dataset:
        assert not needs_cog(dataset)
    with pytest.raises(UsageError):
        with_cogs([path])
    assert with_cogs([path], overwrite=True) == [copied]
