"""What `check` says of gross outliers, and what training sees of them."""

from collections.abc import Callable
from pathlib import Path

from conftest import terrain
from demiurge.scene.check import Verdict, check
from demiurge.scene.open import scene_from_files

Write = Callable[..., Path]


def test_check_tells_of_gross_outliers(raster: Write) -> None:
    heights = terrain()
    sound = check(scene_from_files({"dsm": raster("sound.tif", heights)}))[0]
    assert sound.verdict is Verdict.OK
    heights[80:84, 50:54] += 1500
    found = check(scene_from_files({"dsm": raster("dsm.tif", heights)}))[0]
    assert found.verdict is Verdict.WARNING
    assert "16 of" in found.message
    assert "gross outliers" in found.message


def test_outliers_of_a_window_are_those_of_the_whole(raster: Write) -> None:
    from demiurge.scene.grid import Window

    heights = terrain()
    heights[63:70, 60:66] += 1500
    scene = scene_from_files({"dsm": raster("dsm.tif", heights)})
    window = Window(64, 64, 64, 64)
    found = scene.outliers("dsm", window, scene.read(window, ["dsm"])[0])
    assert found is not None
    assert found[:6, :2].all()
    assert found.sum() == 12
    calm = Window(0, 100, 64, 64)
    assert scene.outliers("dsm", calm, scene.read(calm, ["dsm"])[0]) is None
