"""ICESat-2 granules as points."""

import sys
from pathlib import Path

import numpy as np
import pyproj
import pytest

from demiurge.errors import DataError, ResourceError
from demiurge.scene.points import read_points

h5py = pytest.importorskip("h5py")
FILL = np.float32(3.4028235e38)


def atl06(path: Path) -> Path:
    """Two beams of three segments: one has a fill value, one a bad quality summary."""
    with h5py.File(path, "w") as file:
        for beam, start in (("gt1l", 100.0), ("gt3r", 200.0)):
            group = file.create_group(f"{beam}/land_ice_segments")
            group["longitude"] = np.array([10.0, 10.001, 10.002])
            group["latitude"] = np.array([60.0, 60.001, 60.002])
            group["h_li"] = np.array([start, FILL, start + 2], np.float32)
            group["atl06_quality_summary"] = np.array([0, 0, 1 if beam == "gt3r" else 0], np.int8)
    return path


def test_atl06_gives_good_segments_of_all_beams(tmp_path: Path) -> None:
    points = read_points(atl06(tmp_path / "ATL06_20240101.h5"))
    np.testing.assert_allclose(points.z, [100, 102, 200])
    np.testing.assert_allclose(points.x, [10, 10.002, 10])
    np.testing.assert_allclose(points.y, [60, 60.002, 60])
    assert points.crs.to_epsg() == 4979
    assert any("ellipsoid" in note for note in points.notes)


def test_points_go_to_the_crs_of_the_surface(tmp_path: Path) -> None:
    points = read_points(atl06(tmp_path / "a.h5")).in_crs(pyproj.CRS("EPSG:32632"))
    assert points.x[0] == pytest.approx(555776, abs=1)
    assert points.y[0] == pytest.approx(6651832, abs=1)
    np.testing.assert_allclose(points.z, [100, 102, 200])


def test_atl08_gives_the_bare_earth(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "ATL08.h5", "w") as file:
        group = file.create_group("gt2l/land_segments")
        group["longitude"], group["latitude"] = [5.0, 5.1], [45.0, 45.1]
        group["terrain/h_te_best_fit"] = np.array([321.5, FILL], np.float32)
        group["canopy/h_canopy"] = np.array([20.0, 21.0])
    np.testing.assert_allclose(read_points(tmp_path / "ATL08.h5").z, [321.5])


def test_other_products_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "atl03.h5", "w") as file:
        file["gt1l/heights/h_ph"] = [1.0]
    with pytest.raises(DataError, match="photons"):
        read_points(tmp_path / "atl03.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1.0]
    with pytest.raises(DataError, match="not an ICESat-2 granule"):
        read_points(tmp_path / "other.h5")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    content = atl06(tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        read_points(tmp_path / "cut.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.create_group("gt1l/land_ice_segments")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        read_points(tmp_path / "empty.h5")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = atl06(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ResourceError, match="icesat2"):
        read_points(path)
