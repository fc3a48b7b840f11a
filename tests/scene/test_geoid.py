from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from geoids import undulation, write_geoid
from rasterio.transform import from_origin

from conftest import terrain, write_raster
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.scene.crs import transform
from demiurge.scene.geoid import interpolate, lattice, reference_of
from demiurge.scene.open import open_scene
from demiurge.scene.prepare import prepare

Write = Callable[..., Path]


@pytest.fixture
def geoid(tmp_path: Path) -> Path:
    return write_geoid(tmp_path / "my geoid.tif")


def expected(grid: object) -> np.ndarray:
    affine, shape = grid.affine, grid.shape
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    lon, lat = transform(affine.c + affine.a * cols, affine.f + affine.e * rows, grid.crs, 4326)
    return undulation(lon, lat)


@pytest.fixture(autouse=True)
def _no_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJ_NETWORK", "OFF")


def test_heights_above_a_geoid_become_ellipsoidal(
    raster: Write, geoid: Path, tmp_path: Path
) -> None:
    files = {"dsm": raster("a.tif", terrain()), "truth_dsm": raster("b.tif", terrain())}
    scene = prepare(
        files, tmp_path / "s", to_vertical="ellipsoidal", geoid_grid={"": geoid},
        vertical={"dsm": "egm2008", "truth_dsm": "ellipsoidal"},
    )  # fmt: skip
    dsm, truth = scene.read(layers=["dsm", "truth_dsm"])
    np.testing.assert_allclose(dsm - terrain(), expected(scene.grid), atol=1e-3)
    np.testing.assert_array_equal(truth, terrain())
    assert scene.vertical.reference == "ellipsoidal"
    assert open_scene(tmp_path / "s").vertical == scene.vertical
    assert any("dsm: heights transformed" in note and "geoid.tif" in note for note in scene.notes)


def test_the_compound_crs_declares_the_result(raster: Write, geoid: Path, tmp_path: Path) -> None:
    files = {"dsm": raster("a.tif", terrain(), crs="EPSG:32633+5773")}
    scene = prepare(
        files, tmp_path / "s", to_vertical="egm2008", geoid_grid={"egm2008": geoid, "egm96": geoid}
    )
    np.testing.assert_allclose(scene.read(layers=["dsm"])[0], terrain(), atol=1e-3)
    assert scene.vertical.datum == "EGM2008 height"
    assert scene._stack is not None
    with rasterio.open(tmp_path / "s" / "stack.tif") as stack:
        assert "EGM2008 height" in stack.crs.to_wkt()


def test_ellipsoidal_heights_of_a_geographic_crs(geoid: Path, tmp_path: Path) -> None:
    corner = from_origin(15.0, 36.1, 2e-5, 2e-5)
    flat = np.full((200, 200), 250, np.float32)
    file = write_raster(tmp_path / "g.tif", flat, crs="EPSG:4979", transform=corner)
    scene = prepare({"dsm": file}, tmp_path / "s", to_vertical="egm96", geoid_grid={"": geoid})
    dsm = scene.read(layers=["dsm"])[0]
    right = 250 - expected(scene.grid)
    inside = np.isfinite(dsm)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(dsm[inside], right[inside], atol=1e-3)


@pytest.mark.parametrize("name", ["egm2008", "EPSG:5773", "navd88", "rh2000", "ign69"])
def test_a_missing_grid_is_named_and_nothing_is_written(
    raster: Write, tmp_path: Path, name: str
) -> None:
    files = {"dsm": raster("a.tif", terrain())}
    with pytest.raises((ResourceError, DataError)) as caught:
        prepare(files, tmp_path / "s", to_vertical=name, vertical={"dsm": "ellipsoidal"})
    assert "--geoid-grid" in str(caught.value)
    if name in ("egm2008", "EPSG:5773"):
        assert caught.value.exit_code == 4
        assert "cdn.proj.org" in str(caught.value)
        assert "--proj-network" in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_refusals(raster: Write, geoid: Path, tmp_path: Path) -> None:
    files = {"dsm": raster("a.tif", terrain())}
    with pytest.raises(DataError, match="--vertical dsm=egm2008"):
        prepare(files, tmp_path / "s", to_vertical="ellipsoidal", geoid_grid={"": geoid})
    with pytest.raises(UsageError, match="no such layer"):
        prepare(files, tmp_path / "s", vertical={"dem_prior": "egm96"})
    known = {"dsm": raster("b.tif", terrain(), crs="EPSG:32633+5773")}
    with pytest.raises(DataError, match="--vertical says"):
        prepare(known, tmp_path / "s", vertical={"dsm": "egm2008"})
    with pytest.raises(UsageError, match="egm96=FILE"):
        prepare(known, tmp_path / "s", to_vertical="egm2008", geoid_grid={"": geoid})
    mixed = {**known, "truth_dsm": raster("c.tif", terrain(), crs="EPSG:32633+3855")}
    with pytest.raises(DataError, match="--to-vertical"):
        prepare(mixed, tmp_path / "s")


def test_a_grid_of_another_place_is_refused(raster: Write, tmp_path: Path) -> None:
    corner = from_origin(-60, 10, 0.25, 0.25)
    values = np.full((9, 9), 30, np.float32)
    file = write_raster(tmp_path / "far.tif", values, crs="EPSG:4326", transform=corner)
    with pytest.raises(DataError, match="does not cover"):
        prepare(
            {"dsm": raster("a.tif", terrain())}, tmp_path / "s", to_vertical="ellipsoidal",
            vertical={"dsm": "egm96"}, geoid_grid={"": file},
        )  # fmt: skip


def test_feet_and_unknown_references_are_refused() -> None:
    with pytest.raises(UsageError, match="US survey foot"):
        reference_of("EPSG:6360")
    with pytest.raises(UsageError, match="not a vertical reference"):
        reference_of("EPSG:32633")
    assert reference_of("navd88")[1] == pyproj.CRS("EPSG:5703")


def test_the_lattice_is_refined_at_kinks() -> None:
    def kinked(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        return 0.001 * np.abs(rows - 41.3) + 0.0004 * cols

    values = lattice((150, 170), 32, kinked)
    rows, cols = np.arange(150.0), np.arange(170.0)
    true = kinked(*np.meshgrid(rows, cols, indexing="ij"))
    assert len(values) > 1 + 150 // 32
    np.testing.assert_allclose(interpolate(values, (150, 170), rows, cols), true, atol=1e-3)


def test_the_command_exits_with_4_and_takes_gtx(raster: Write, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from demiurge.cli.main import app

    dsm, out = raster("a.tif", terrain()), tmp_path / "s"
    words = ["prepare", f"dsm={dsm}", "-o", str(out), "--vertical", "dsm=egm2008"]
    words += ["--to-vertical", "ellipsoidal"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ResourceError)
    assert result.exception.exit_code == 4
    assert "us_nga_egm08_25.tif" in str(result.exception)
    gtx = tmp_path / "g.gtx"
    header = np.array([34.5, 14.0, 0.5, 0.5], ">f8").tobytes() + np.array([5, 5], ">i4").tobytes()
    gtx.write_bytes(header + np.full((5, 5), 45.5, ">f4").tobytes())
    result = CliRunner().invoke(app, [*words, "--geoid-grid", f"egm2008={gtx}"])
    assert result.exit_code == 0, result.output
    assert "+45.500 to +45.500 m added" in " ".join(result.output.split())
    dsm_out = open_scene(out).read(layers=["dsm"])[0]
    np.testing.assert_allclose(dsm_out, terrain() + 45.5, atol=1e-3)
