from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rpc import RPC
from scipy.ndimage import gaussian_filter

from demiurge.errors import DataError
from demiurge.raster.registration import translation
from demiurge.scene.camera import PixelShift
from demiurge.scene.grid import Window
from demiurge.scene.open import scene_from_files
from demiurge.scene.scene import Scene
from demiurge.scene.sensor import RawSettings
from scene.cameras import affine_camera, grid_of
from scene.test_ortho import GSD, ground, hill, raw_image

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write_raw(path: Path, image: np.ndarray, rpc: RPC | None, bands: int = 1) -> Path:
    stack = np.stack([image] * bands).astype(np.float32)
    stack[:-1] = 0  # the image is the last band
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=bands, height=image.shape[0],
        width=image.shape[1], nodata=-1,
    ) as file:  # fmt: skip
        file.write(stack)
        if rpc is not None:
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


NO_SHIFT = PixelShift(0, 0)


def pair_of_views(
    folder: Path,
    displacements: tuple[tuple[float, float], tuple[float, float]],
    *,
    heights: float = 100.0,
    shift: PixelShift = NO_SHIFT,
) -> dict[str, str]:
    """Write a textured plane at 100 m, seen from two sides, and a DSM at ``heights``.

    Parameters
    ----------
    shift
        Pixels by which the RPCs of the left image are wrong: they place ground points so much
        too far to the left and too high.
    """
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(240, 300)), 2)
    image = (100 + 300 * smooth).astype(np.float32)
    files = {"dsm": str(write_dsm(folder / "dsm.tif", np.full((96, 128), heights)))}
    for name, displacement in zip(("ortho_left", "ortho_right"), displacements, strict=True):
        rpc = moved(affine_camera(grid_of(), displacement, GSD).rpc, 10)
        if name == "ortho_left":
            rpc.samp_off -= shift.cols
            rpc.line_off -= shift.rows
        files[name] = str(write_raw(folder / f"{name}.tif", image, rpc))
    return files


VERTICAL = ((0.0, 0.0), (0.0, 0.0))
SIDES = ((0.4, 0.1), (-0.3, 0.1))


def offset_of(scene: Scene) -> tuple[float, float]:
    shift = translation(*scene.read(layers=["ortho_left", "ortho_right"]))
    assert shift is not None
    return shift.row, shift.col


def test_a_shift_is_added_to_columns_and_rows_of_the_left_camera(tmp_path: Path) -> None:
    files = pair_of_views(tmp_path, VERTICAL, shift=PixelShift(4, -3))
    # Ground points are 4 columns farther right and 3 rows higher than the RPCs say.
    wrong = scene_from_files(files)
    right = scene_from_files(files, raw=RawSettings(shift_left=PixelShift(4, -3)))
    assert offset_of(wrong) == pytest.approx((1.5, -2), abs=0.05)
    assert offset_of(right) == pytest.approx((0, 0), abs=0.01)
    (image, orthoimage) = right.read(layers=["ortho_left", "ortho_right"])
    assert image == pytest.approx(orthoimage, abs=0.05)


@pytest.mark.parametrize("given", [None, PixelShift(3, -2)])
def test_adjust_finds_the_shift(tmp_path: Path, given: PixelShift | None) -> None:
    files = pair_of_views(tmp_path, VERTICAL, shift=PixelShift(-5.4, 7.2))
    scene = scene_from_files(files, raw=RawSettings(shift_left=given, adjust=True))
    assert offset_of(scene) == pytest.approx((0, 0), abs=0.02)
    note = next(note for note in scene.notes if "--adjust shifts" in note)
    total = re.search(r"--shift-left ([-.\d]+),([-.\d]+)$", note)
    part = re.search(r"by ([-+.\d]+) columns and ([-+.\d]+) rows", note)
    assert total is not None
    assert part is not None
    assert [float(v) for v in total.groups()] == pytest.approx([-5.4, 7.2], abs=0.05)
    start = given or NO_SHIFT
    assert [float(v) for v in part.groups()] == pytest.approx(
        [-5.4 - start.cols, 7.2 - start.rows], abs=0.05
    )
    assert "4 of 4 windows agree" in note
    assert not any("are offset by" in note for note in scene.notes)


def test_adjust_refuses_images_of_different_content(tmp_path: Path) -> None:
    files = pair_of_views(tmp_path, VERTICAL)
    noise = np.random.default_rng(5).normal(100, 20, (240, 300))
    rpc = moved(affine_camera(grid_of(), (0.0, 0.0), GSD).rpc, 10)
    write_raw(tmp_path / "ortho_right.tif", noise, rpc)
    with pytest.raises(DataError, match="--adjust: the ") as caught:
        scene_from_files(files, raw=RawSettings(adjust=True))
    assert "leave out --adjust" in caught.value.cure


@pytest.mark.parametrize(("heights", "words"), [(80.0, "20 m too low"), (125.0, "25 m too high")])
@pytest.mark.parametrize("adjust", [False, True])
def test_wrong_heights_are_recognised_by_the_direction_of_the_offset(
    tmp_path: Path, heights: float, words: str, adjust: bool
) -> None:
    files = pair_of_views(tmp_path, SIDES, heights=heights)
    notes = scene_from_files(files, raw=RawSettings(adjust=adjust)).notes
    note = next(note for note in notes if "as if heights" in note)
    assert f"as if heights were {words}: are they orthometric?" in note
    assert ("that --adjust removed" if adjust else "are offset by") in note
    assert not any("not bundle-adjusted" in note for note in notes)


def test_windows_that_disagree_because_of_wrong_heights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DataError("--adjust: the offsets disagree", "leave out --adjust")

    monkeypatch.setattr("demiurge.scene.raw.measure_offset", refuse)
    files = pair_of_views(tmp_path, SIDES, heights=80)
    with pytest.raises(
        DataError, match=r"disagree \(the offset is as if heights were 20 m too low"
    ):
        scene_from_files(files, raw=RawSettings(adjust=True))
    with pytest.raises(DataError, match="disagree; leave out"):
        scene_from_files(
            {**files, "dsm": str(write_dsm(tmp_path / "flat.tif", np.full((96, 128), 100.0)))},
            raw=RawSettings(adjust=True),
        )


def test_other_offsets_are_not_explained_by_heights(tmp_path: Path) -> None:
    # Across the parallax, and along it as for 3 m.
    files = pair_of_views(tmp_path, SIDES, shift=PixelShift(0, 12))
    assert any("not bundle-adjusted" in note for note in scene_from_files(files).notes)
    files = pair_of_views(tmp_path, SIDES, heights=97)
    notes = scene_from_files(files).notes
    assert any("not bundle-adjusted" in note for note in notes)
    assert not any("as if heights" in note for note in notes)


def test_hidden_parts_are_kept_on_request(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    heights = place[0].copy()
    heights[30:60, 50:80] += 20
    files = files_of(tmp_path, heights)
    masked = scene_from_files(files)
    kept = scene_from_files(files, raw=RawSettings(occlusions=False))
    assert np.isnan(masked.read(layers=["ortho_left"])).any()
    assert np.isfinite(kept.read(layers=["ortho_left"])).all()


def test_results_with_other_corrections_are_not_resumed(
    tmp_path: Path, place: tuple[np.ndarray, np.ndarray]
) -> None:
    files = files_of(tmp_path, place[0])
    settings = (
        RawSettings(),
        RawSettings(shift_left=PixelShift(1, 0)),
        RawSettings(occlusions=False),
    )
    variants = {scene_from_files(files, raw=s).sources["ortho_left"].variant for s in settings}
    assert len(variants) == len(settings)
    again = scene_from_files(files, raw=settings[1]).sources["ortho_left"].variant
    assert again in variants
