"""Option --ground of refine."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from demiurge.errors import UsageError


def town(path: Path) -> Path:
    """A DSM of a plane with a large flat hall."""
    data = np.full((192, 192), 30, np.float32)
    data += np.random.default_rng(0).normal(0, 0.2, data.shape).astype(np.float32)
    data[60:130, 60:130] += 15
    with rasterio.open(
        path, "w", driver="GTiff", width=192, height=192, count=1, dtype="float32",
        crs="EPSG:32633", transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000),
    ) as file:  # fmt: skip
        file.write(data, 1)
    return path


def test_only_the_bare_earth_changes(tmp_path: Path) -> None:
    dsm = town(tmp_path / "dsm.tif")
    with rasterio.open(demiurge.refine(dsm, tmp_path / "a.tif").path) as file:
        plain, tags = file.read(), file.tags()
        names = list(file.descriptions)
    assert "ground" not in tags
    made = demiurge.refine(dsm, tmp_path / "b.tif", ground="interpolated")
    with rasterio.open(made.path) as file:
        changed = file.read()
        assert file.tags()["ground"].startswith("interpolated under large roofs")
    for index, name in enumerate(names):
        if name != "dtm":
            np.testing.assert_array_equal(plain[index], changed[index])
    assert (changed[names.index("dtm")] <= changed[names.index("dsm")] + 1e-3).all()


def test_it_needs_both_surfaces(tmp_path: Path) -> None:
    dsm = town(tmp_path / "dsm.tif")
    with pytest.raises(UsageError, match="needs the DSM, the DTM"):
        demiurge.refine(dsm, tmp_path / "a.tif", ground="interpolated", target="dtm")
    assert not (tmp_path / "a.tif").exists()
