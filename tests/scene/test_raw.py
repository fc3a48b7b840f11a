from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rpc import RPC

from demiurge.errors import DataError
from demiurge.scene.grid import Window
from demiurge.scene.open import scene_from_files
from scene.cameras import affine_camera, grid_of
from scene.test_ortho import GSD, ground, hill, raw_image

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write_raw(path: Path, image: np.ndarray, rpc: RPC, bands: int = 1) -> Path:
    stack = np.stack([image] * bands).astype(np.float32)
    stack[:-1] = 0  # the image is the last band
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=bands, height=image.shape[0],
        width=image.shape[1], nodata=-1,
    ) as file:  # fmt: skip
        file.write(stack)
        file.rpcs = rpc
    return path


def write_dsm(path: Path, heights: np.ndarray, crs: str = "EPSG:32633") -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=1, height=heights.shape[0],
        width=heights.shape[1], nodata=-9999, crs=crs, transform=grid_of().affine,
    ) as file:  # fmt: skip
        file.write(np.nan_to_num(heights, nan=-9999).astype(np.float32), 1)
    return path


def moved(rpc: RPC, pixels: float) -> RPC:
    """Return the RPCs of an image that starts a number of pixels outside the grid's corner."""
    rpc.line_off += pixels
    rpc.samp_off += pixels
    return rpc


@pytest.fixture
def place() -> tuple[np.ndarray, np.ndarray]:
    """Return the heights of the hill and the brightness of its ground."""
    rows, cols = np.mgrid[0:96, 0:128]
    return hill(cols + 0.5, rows + 0.5), ground(cols + 0.5, rows + 0.5)


def files_of(folder: Path, heights: np.ndarray) -> dict[str, str]:
    camera = affine_camera(grid_of(), (0.4, 0.3), GSD)
    raw = write_raw(folder / "raw.tif", raw_image(hill), moved(camera.rpc, 5 / GSD))
    return {"dsm": str(write_dsm(folder / "dsm.tif", heights)), "ortho_left": str(raw)}


def test_a_raw_image_becomes_an_orthoimage(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    heights, wanted = place
    scene = scene_from_files(files_of(tmp_path, heights))
    (result,) = scene.read(layers=["ortho_left"])
    assert result.shape == heights.shape
    assert np.nanmax(np.abs(result - wanted)) < 0.6
    assert any("sensors: ortho_left 63°" in note for note in scene.notes)
    assert any("assumed to be ellipsoidal" in note for note in scene.notes)
    # Windows, thinned reads and another process give the same pixels.
    window = Window(20, 30, 40, 50)
    part = pickle.loads(pickle.dumps(scene)).read(window, ["ortho_left"])[0]
    assert np.abs(part - result[window.slices]).max() < 0.005
    assert scene.read(window, ["ortho_left"], step=3)[0].shape == (14, 17)


def test_voids_of_the_dsm_are_filled_for_orthorectification(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    heights, wanted = place
    heights = heights.copy()
    heights[40:50, 55:68] = np.nan
    scene = scene_from_files(files_of(tmp_path, heights))
    (result,) = scene.read(layers=["ortho_left"])
    assert np.isfinite(result[40:50, 55:68]).all()
    assert np.abs(result - wanted).max() < 5  # the filled top of the hill is a little low


def test_one_band_of_several(tmp_path: Path, place: tuple[np.ndarray, np.ndarray]) -> None:
    heights, wanted = place
    camera = affine_camera(grid_of(), (0.4, 0.3), GSD)
    raw = write_raw(tmp_path / "raw.tif", raw_image(hill), moved(camera.rpc, 5 / GSD), bands=3)
    dsm = write_dsm(tmp_path / "dsm.tif", heights)
    scene = scene_from_files({"dsm": str(dsm), "ortho_right": f"{raw}:3"})
    (result,) = scene.read(layers=["ortho_right"])
    assert np.abs(result - wanted).max() < 0.6


def test_offset_orthoimages_get_a_note(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    heights, _ = place
    rng = np.random.default_rng(0)
    texture = raw_image(hill) + rng.normal(0, 5, (220, 290))
    files = {"dsm": str(write_dsm(tmp_path / "dsm.tif", heights))}
    for name, pixels in (("ortho_left", 10.0), ("ortho_right", 14.0)):
        camera = affine_camera(grid_of(), (0.4, 0.3), GSD)
        raw = write_raw(tmp_path / f"{name}.tif", texture, moved(camera.rpc, pixels))
        files[name] = str(raw)
    notes = scene_from_files(files).notes
    note = next(note for note in notes if "are offset by" in note)
    match = re.search(r"by ([\d.]+) px \(([-+.\d]+) rows, ([-+.\d]+) columns\)", note)
    assert match is not None
    assert [float(v) for v in match.groups()] == pytest.approx([2.83, -2, -2], abs=0.2)


def test_orthometric_heights_are_refused(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    files = files_of(tmp_path, place[0])
    files["dsm"] = str(write_dsm(tmp_path / "geoid.tif", place[0], "EPSG:32633+5773"))
    with pytest.raises(DataError, match="ellipsoidal heights"):
        scene_from_files(files)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"long_off": 16.5}, "does not cover the DSM"),
        ({"height_off": 9000.0}, "its RPCs are valid for heights"),
        ({"line_scale": 0.0}, "LINE_SCALE|scale of the RPCs is 0"),
    ],
)
def test_cameras_of_another_place_are_refused(
    tmp_path: Path,
    place: tuple[np.ndarray, np.ndarray],
    change: dict[str, float],
    match: str,
) -> None:
    camera = affine_camera(grid_of(), (0.4, 0.3), GSD)
    for name, value in change.items():
        setattr(camera.rpc, name, value)
    raw = write_raw(tmp_path / "raw.tif", raw_image(hill), camera.rpc)
    dsm = write_dsm(tmp_path / "dsm.tif", place[0])
    with pytest.raises(DataError, match=match):
        scene_from_files({"dsm": str(dsm), "ortho_left": str(raw)})


def test_a_raw_image_without_a_dsm_is_refused(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    raw = files_of(tmp_path, place[0])["ortho_left"]
    with pytest.raises(DataError, match="camera model"):
        scene_from_files({"ortho_left": raw})
