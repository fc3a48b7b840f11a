from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_bundle
from demiurge.cli.main import run
from demiurge.errors import DataError, DemiurgeError, UsageError
from demiurge.scene.camera import PixelShift
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.sensor import RawSettings, camera_of, raw_settings
from scene.cameras import affine_camera, grid_of
from scene.test_ortho import GSD, ground, hill, raw_image
from scene.test_raw import moved, write_dsm, write_raw
from scene.test_rpc import SCALARS, SERIES, text_file

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def rpc_text(rpc: Any) -> str:
    """Return RPCs as the text of an ``_RPC.TXT`` file."""
    lines = [f"{name.upper()}: {float(getattr(rpc, name))!r}" for name in SCALARS]
    for name in SERIES:
        values = enumerate(getattr(rpc, name), start=1)
        lines += [f"{name.upper()}_{k}: {float(value)!r}" for k, value in values]
    return "\n".join(lines)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a DSM, raw images with and without tags, side files and a georeferenced ortho."""
    monkeypatch.chdir(tmp_path)
    rows, cols = np.mgrid[0:96, 0:128]
    write_dsm(Path("dsm.tif"), hill(cols + 0.5, rows + 0.5))
    write_dsm(Path("ortho.tif"), ground(cols + 0.5, rows + 0.5))
    rpc = moved(affine_camera(grid_of(), (0.4, 0.3), GSD).rpc, 5 / GSD)
    image = raw_image(hill)
    write_raw(Path("tagged.tif"), image, rpc)
    write_raw(Path("bare.tif"), image, None)
    Path("rpcs.txt").write_text(rpc_text(rpc))
    Path("elsewhere.txt").write_text(text_file())
    Path("run-other.adjust").write_text("0 0 0\n1 0 0 0\n")
    return tmp_path


def open_with(settings: RawSettings, **images: str) -> Any:
    return scene_from_files({"dsm": "dsm.tif", **images}, raw=settings)


def test_a_side_file_gives_the_pixels_of_tags(place: Path) -> None:
    tagged = open_with(RawSettings(), ortho_left="tagged.tif")
    side = open_with(RawSettings({"ortho_left": "rpcs.txt"}), ortho_left="bare.tif")
    expected, result = (s.read(layers=["ortho_left"])[0] for s in (tagged, side))
    assert np.isfinite(result).all()
    assert result == pytest.approx(expected, abs=1e-4)
    assert side.views["ortho_left"] == tagged.views["ortho_left"]


def test_a_side_file_replaces_tags(place: Path) -> None:
    camera = camera_of("tagged.tif", "ortho_left", RawSettings({"ortho_left": "elsewhere.txt"}))
    assert camera is not None
    assert camera[0].rpc.lat_off == SCALARS["lat_off"]


def test_an_image_without_any_georeference_names_the_cure(place: Path) -> None:
    with pytest.raises(DataError, match="and no RPCs") as caught:
        open_with(RawSettings(), ortho_right="bare.tif")
    assert "--right-rpc FILE (prepare: --rpc ortho_right=FILE)" in caught.value.cure


def test_adjust_files_next_to_images_are_applied_and_noted(place: Path) -> None:
    before = open_with(RawSettings(), ortho_left="tagged.tif").read(layers=["ortho_left"])
    Path("run-tagged.adjust").write_text("100 0 0\n1 0 0 0\n")
    scene = open_with(RawSettings(), ortho_left="tagged.tif")
    assert any("its camera is adjusted as in run-tagged.adjust" in note for note in scene.notes)
    assert not np.allclose(scene.read(layers=["ortho_left"]), before, atol=1, equal_nan=True)
    # A file that is given has priority.
    settings = RawSettings(adjust_files={"ortho_left": "run-other.adjust"})
    given = open_with(settings, ortho_left="tagged.tif")
    assert given.read(layers=["ortho_left"]) == pytest.approx(before, abs=1e-3)


LEFT, RIGHT = "ortho_left", "ortho_right"
CASES: list[tuple[RawSettings, dict[str, str], str]] = [
    (RawSettings({LEFT: "rpcs.txt"}), {LEFT: "ortho.tif"}, "ortho.tif: is georeferenced, but an"),
    (RawSettings(shift_left=PixelShift(1, 0)), {LEFT: "ortho.tif"}, "but --shift-left is for raw"),
    (
        RawSettings(adjust_files={LEFT: "run-other.adjust"}),
        {LEFT: "ortho.tif"},
        "but --left-adjust is for raw images",
    ),
    (RawSettings({LEFT: "rpcs.txt"}), {RIGHT: "tagged.tif"}, "'ortho_left', but its image is not"),
    (RawSettings({"ndvi": "rpcs.txt"}), {LEFT: "tagged.tif"}, "which cannot be a raw image"),
    (RawSettings(adjust=True), {LEFT: "tagged.tif"}, "--adjust needs two raw images"),
    (
        RawSettings(adjust=True),
        {LEFT: "tagged.tif", RIGHT: "ortho.tif"},
        "--adjust needs two raw images",
    ),
    (RawSettings(occlusions=False), {LEFT: "ortho.tif"}, "--no-occlusions is given, but no image"),
    (RawSettings(occlusions=False), {}, "--no-occlusions is given, but no image"),
    (
        RawSettings(shift_left=PixelShift(1, 0)),
        {RIGHT: "tagged.tif"},
        "--shift-left is given, but the left image",
    ),
    (RawSettings(shift_left=PixelShift(290, 0)), {LEFT: "tagged.tif"}, "is larger than tagged.tif"),
    (RawSettings(shift_left=PixelShift(0, -220)), {LEFT: "tagged.tif"}, "290 columns and 220 rows"),
]


@pytest.mark.parametrize(("settings", "images", "message"), CASES, ids=[c[2] for c in CASES])
def test_settings_that_do_not_apply_are_refused(
    place: Path, settings: RawSettings, images: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_with(settings, **images)
    assert caught.value.cure


def test_settings_need_a_dsm(place: Path) -> None:
    with pytest.raises(DemiurgeError, match="options for raw images are given without a DSM"):
        scene_from_files({"ortho_left": "ortho.tif"}, raw=RawSettings(adjust=True))


def test_settings_by_side() -> None:
    settings = raw_settings(right_rpc="b.txt", left_adjust="a.adjust", occlusions=False)
    assert settings.given == ["--right-rpc", "--left-adjust", "--no-occlusions"]
    assert settings.files == ["b.txt", "a.adjust"]
    assert raw_settings() == RawSettings()
    assert RawSettings().given == []


def test_options_of_prepare_reach_the_cameras(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = RawSettings({LEFT: "rpcs.txt"}, shift_left=PixelShift(3, -2))
    expected = open_with(settings, ortho_left="bare.tif").read(layers=[LEFT])
    words = "prepare dsm=dsm.tif ortho_left=bare.tif --rpc ortho_left=rpcs.txt --shift-left 3,-2"
    with pytest.raises(SystemExit) as caught:
        run([*words.split(), "--left-adjust", "run-other.adjust", "--no-equalise", "-o", "scene"])
    assert caught.value.code == 0
    assert "its camera is adjusted as in run-other.adjust" in capsys.readouterr().err
    result = open_scene("scene").read(layers=[LEFT])
    assert result == pytest.approx(expected, abs=1e-3, nan_ok=True)
    prepared = prepare(
        {"dsm": "dsm.tif", LEFT: "bare.tif"},
        "again",
        rpc={LEFT: "rpcs.txt"},
        shift_left=PixelShift(3, -2),
        equalise=False,
    )
    assert prepared.read(layers=[LEFT]) == pytest.approx(expected, abs=1e-3, nan_ok=True)


def test_options_of_refine_reach_the_cameras(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(Path("pair.bundle"), layers=("dsm", LEFT, RIGHT))
    words = (
        "refine dsm.tif --left bare.tif --right tagged.tif --left-rpc rpcs.txt --shift-left 3,-2 "
        "--adjust --bundle pair.bundle --any-pixel-size -o out.tif"
    )
    with pytest.raises(SystemExit) as caught:
        run(words.split())
    assert caught.value.code == 0
    error = capsys.readouterr().err
    match = re.search(r"by ([-+.\d]+) columns and ([-+.\d]+) rows", error)
    assert match is not None
    assert [float(v) for v in match.groups()] == pytest.approx([-3, 2], abs=0.1)
