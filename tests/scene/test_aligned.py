"""Co-registration of a pair in prepare."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from scipy import ndimage

from conftest import write_raster
from demiurge.errors import DataError, UsageError
from demiurge.scene.grid import full_window
from demiurge.scene.nuth_kaab import fit_shift
from demiurge.scene.prepare import prepare

pytest.importorskip("xdem")
GSD, SIDE = 2.0, 260
EAST, NORTH, UP = 1.3 * GSD, -0.7 * GSD, 4.2


def relief() -> np.ndarray:
    rng = np.random.default_rng(3)
    rough = ndimage.gaussian_filter(rng.normal(0, 1, (SIDE + 40, SIDE + 40)), 12)
    return (rough / rough.std() * 25 + 300).astype(np.float64)


def write(path: Path, data: np.ndarray, east: float = 0, north: float = 0, **more: object) -> Path:
    transform = from_origin(500000 + east, 5000000 + north, GSD, GSD)
    profile = {"crs": "EPSG:32633", "nodata": np.nan, "dtype": "float32"} | more
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=data.shape[0], width=data.shape[1],
        transform=transform, **profile,
    ) as file:  # fmt: skip
        file.write(data.astype(profile["dtype"]), 1)
    return path


def pair(folder: Path, flat: bool = False) -> dict[str, Path]:
    """A DSM with voids, trees and blunders and its ortho, both displaced; the true surface."""
    rng = np.random.default_rng(0)
    truth = np.full((SIDE + 40,) * 2, 300.0) if flat else relief()
    dsm = truth - UP + rng.normal(0, 0.2, truth.shape)
    trees = ndimage.binary_dilation(rng.random(truth.shape) < 0.002, iterations=3)
    dsm[trees] += 12
    dsm[rng.random(truth.shape) < 0.003] += 80
    dsm[100:120, 60:110] = np.nan
    ortho = np.arange(truth.size).reshape(truth.shape) % 251 + 1
    return {
        # The files claim a place that is off: moved by EAST, NORTH they are right.
        "dsm": write(folder / "dsm.tif", dsm, -EAST, -NORTH),
        "ortho_left": write(folder / "left.tif", ortho, -EAST, -NORTH, dtype="uint8", nodata=0),
        "truth": write(folder / "truth.tif", truth),
    }


def test_a_pair_is_brought_back(tmp_path: Path) -> None:
    files = pair(tmp_path)
    names = {"dsm": files["dsm"], "ortho_left": files["ortho_left"], "truth_dsm": files["truth"]}
    scene = prepare(names, tmp_path / "scene", align=files["truth"], equalise=False)
    assert scene.spec is not None
    fit = scene.spec.alignment
    assert fit is not None
    assert fit.east == pytest.approx(EAST, abs=0.05 * GSD)
    assert fit.north == pytest.approx(NORTH, abs=0.05 * GSD)
    assert fit.up == pytest.approx(UP, abs=0.05)
    assert fit.nmad_after < 0.5 * fit.nmad_before
    assert any("the pair was moved by" in note for note in scene.notes)
    dsm, ortho, truth = scene.read(full_window(scene.grid), ["dsm", "ortho_left", "truth_dsm"])
    assert abs(np.nanmedian(dsm - truth)) < 0.05
    # The pair is not resampled: its pixels keep their values.
    known = ortho[np.isfinite(ortho)]
    np.testing.assert_array_equal(known, np.round(known))
    assert len(np.unique(known)) == 251


def test_a_given_grid_is_kept(tmp_path: Path) -> None:
    files = pair(tmp_path)
    names = {"dsm": files["dsm"], "truth_dsm": files["truth"]}
    scene = prepare(names, tmp_path / "scene", align=files["truth"], gsd=4.0)
    assert scene.grid.affine.c % 4 == pytest.approx(0, abs=1e-6)
    dsm, truth = scene.read(full_window(scene.grid), ["dsm", "truth_dsm"])
    assert abs(np.nanmedian(dsm - truth)) < 0.1


def test_flat_ground_is_refused(tmp_path: Path) -> None:
    files = pair(tmp_path, flat=True)
    with pytest.raises(DataError, match="too flat"):
        prepare({"dsm": files["dsm"]}, tmp_path / "scene", align=files["truth"])
    assert not (tmp_path / "scene").exists()


def test_another_place_is_refused(tmp_path: Path) -> None:
    files = pair(tmp_path)
    far = write(tmp_path / "far.tif", relief(), east=50_000)
    with pytest.raises(DataError, match="shares 0 stable pixels"):
        prepare({"dsm": files["dsm"]}, tmp_path / "scene", align=far)


def test_unrelated_relief_is_refused(tmp_path: Path) -> None:
    files = pair(tmp_path)
    other = write(tmp_path / "other.tif", relief()[::-1, ::-1].copy())
    with pytest.raises(DataError, match=r"probably wrong|no shift|cannot be co-registered"):
        prepare({"dsm": files["dsm"]}, tmp_path / "scene", align=other)


def test_stable_ground_can_be_given(tmp_path: Path) -> None:
    files = pair(tmp_path)
    mask = np.zeros((SIDE + 40,) * 2)
    mask[20:280, 20:280] = 1
    stable = write(tmp_path / "stable.tif", mask, dtype="uint8", nodata=None)
    scene = prepare({"dsm": files["dsm"]}, tmp_path / "scene", align=files["truth"], stable=stable)
    assert scene.spec is not None
    assert scene.spec.alignment is not None
    assert scene.spec.alignment.up == pytest.approx(UP, abs=0.05)
    with pytest.raises(UsageError, match="--stable"):
        prepare({"dsm": files["dsm"]}, tmp_path / "again", stable=stable)


def test_vertical_references_must_agree(tmp_path: Path) -> None:
    files = pair(tmp_path)
    data = relief()
    ellipsoidal = write(tmp_path / "e.tif", data, crs="EPSG:32633+5773")
    dsm = write(tmp_path / "d.tif", data, crs="EPSG:32633+3855")
    with pytest.raises(DataError, match="one vertical reference"):
        prepare({"dsm": dsm}, tmp_path / "scene", align=ellipsoidal)
    with pytest.raises(UsageError, match="moves a DSM"):
        prepare({"ortho_left": files["ortho_left"]}, tmp_path / "s", align=files["truth"])


def test_noise_is_no_relief(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    flat, again = 300 + rng.normal(0, 0.3, (2, SIDE, SIDE))
    dsm, truth = write(tmp_path / "d.tif", flat), write(tmp_path / "t.tif", again)
    with pytest.raises(DataError, match="too flat"):
        prepare({"dsm": dsm}, tmp_path / "scene", align=truth)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_slopes_in_one_direction_are_refused(tmp_path: Path, noise: float) -> None:
    rng = np.random.default_rng(1)
    for number, profile in enumerate((0.4 * np.arange(SIDE), 30 * np.sin(np.arange(SIDE) / 20))):
        valley = 300 + profile + np.zeros((SIDE, SIDE))
        truth = write(tmp_path / f"t{number}.tif", valley + rng.normal(0, noise, valley.shape))
        dsm = write(tmp_path / f"d{number}.tif", valley + rng.normal(0, 0.2, valley.shape))
        with pytest.raises(DataError, match="one direction"):
            prepare({"dsm": dsm}, tmp_path / "scene", align=truth)


def test_a_fit_that_fails_inside_xdem_is_an_error_of_the_data(tmp_path: Path) -> None:
    plane = (0.4 * np.arange(SIDE) + np.zeros((SIDE, SIDE))).astype(np.float32)
    grid = GeoBox((SIDE, SIDE), from_origin(0, 0, GSD, GSD), "EPSG:32633")
    with pytest.raises(DataError, match="cannot be co-registered"):
        fit_shift("d.tif", plane, plane, np.ones(plane.shape, bool), grid, "leave it out")


def test_far_levels_need_declared_references(tmp_path: Path) -> None:
    low = write(tmp_path / "d.tif", relief() - 40)
    truth = write(tmp_path / "t.tif", relief())
    with pytest.raises(DataError, match=r"is declared for .*d\.tif and .*t\.tif"):
        prepare({"dsm": low}, tmp_path / "scene", align=truth)
    same = {"dsm": "ellipsoidal", "reference": "ellipsoidal"}
    scene = prepare({"dsm": low}, tmp_path / "scene", align=truth, vertical=same)
    assert scene.spec is not None
    assert scene.spec.alignment is not None
    assert scene.spec.alignment.up == pytest.approx(40, abs=0.05)
    assert scene.vertical.reference == "ellipsoidal"
    with pytest.raises(UsageError, match="no such layer"):
        prepare({"dsm": low}, tmp_path / "again", vertical=same)


def test_the_reference_is_transformed_as_the_scene(tmp_path: Path) -> None:
    truth = relief()
    geoid = write_raster(
        tmp_path / "g.tif", np.full((5, 5), 40, np.float32), crs="EPSG:4326",
        transform=from_origin(13, 47, 1, 1),
    )  # fmt: skip
    files = {"dsm": write(tmp_path / "d.tif", truth + 40 - UP)}
    reference = write(tmp_path / "t.tif", truth)
    to = {"to_vertical": "ellipsoidal", "geoid_grid": {"": geoid}, "align": reference}
    with pytest.raises(DataError, match="--vertical reference=egm2008"):
        prepare(files, tmp_path / "scene", vertical={"dsm": "ellipsoidal"}, **to)
    declared = {"dsm": "ellipsoidal", "reference": "egm2008"}
    scene = prepare(files, tmp_path / "scene", vertical=declared, **to)
    assert scene.spec is not None
    assert scene.spec.alignment is not None
    assert scene.spec.alignment.up == pytest.approx(UP, abs=0.01)


def test_all_heights_of_the_pair_move_alike(tmp_path: Path) -> None:
    files = pair(tmp_path)
    with rasterio.open(files["dsm"]) as file:
        ground = write(tmp_path / "dtm.tif", file.read(1) - 3, -EAST, -NORTH)
    names = {"dsm": files["dsm"], "dtm": ground}
    scene = prepare(names, tmp_path / "scene", align=files["truth"])
    dsm, dtm = scene.read(full_window(scene.grid), ["dsm", "dtm"])
    known = np.isfinite(dsm)
    np.testing.assert_allclose(dsm[known] - dtm[known], 3, atol=1e-3)


def city(seed: int) -> np.ndarray:
    """Boxes on flat ground."""
    rng = np.random.default_rng(seed)
    heights = np.full((SIDE + 40,) * 2, 300.0)
    for _ in range(90):
        row, col = rng.integers(0, SIDE + 10, 2)
        down, right = rng.integers(6, 22, 2)
        heights[row : row + down, col : col + right] = 300 + rng.uniform(5, 25)
    return heights


def test_a_flat_city_far_off_is_brought_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = city(1)
    dsm = ndimage.gaussian_filter(truth, 0.7) + rng.normal(0, 0.3, truth.shape) - UP
    dsm[rng.random(truth.shape) < 0.003] += 80
    dsm[100:120, 60:110] = np.nan
    east, north = 13.3 * GSD, -5.6 * GSD
    file = write(tmp_path / "dsm.tif", dsm, -east, -north)
    reference = write(tmp_path / "truth.tif", truth)
    scene = prepare({"dsm": file}, tmp_path / "scene", align=reference)
    assert scene.spec is not None
    fit = scene.spec.alignment
    assert fit is not None
    assert fit.east == pytest.approx(east, abs=0.25 * GSD)
    assert fit.north == pytest.approx(north, abs=0.25 * GSD)
    assert fit.up == pytest.approx(UP, abs=0.1)


def test_another_city_is_refused(tmp_path: Path) -> None:
    file = write(
        tmp_path / "dsm.tif", city(2) + np.random.default_rng(0).normal(0, 0.3, (300, 300))
    )
    reference = write(tmp_path / "truth.tif", city(1))
    with pytest.raises(DataError):
        prepare({"dsm": file}, tmp_path / "scene", align=reference)
    assert not (tmp_path / "scene").exists()
