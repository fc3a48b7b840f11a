"""The sun that a user gives to generate: it goes first, and a note says if it is not used."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import make_bundle, plane_graph, terrain, write_raster
from demiurge.cli.main import run
from demiurge.errors import UsageError
from demiurge.model.bundle import Bundle
from demiurge.raster.shading import incidence
from demiurge.scene.camera import Direction

GIVEN = Direction(305.0, 32.0)
#: Plane of the incidence: after two layers, their masks, and three of the direction.
INCIDENCE = 7


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Adds the incidence on the prior, in metres."""
    return make_bundle(
        tmp_path / "sun.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), scale=1.0, graph=plane_graph(8, [INCIDENCE, None]), sun=True,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Image and prior."""
    image = write_raster(tmp_path / "image.tif", 50 * terrain(64, 64, seed=1), names=["red"])
    return image, write_raster(tmp_path / "prior.tif", np.rint(terrain(64, 64)))


def tag_sun(image: Path, sun: Direction) -> None:
    with rasterio.open(image, "r+") as file:
        file.update_tags(SUN_AZIMUTH=str(sun.azimuth), SUN_ELEVATION=str(sun.elevation))


def added(files: tuple[Path, Path], out: Path) -> np.ndarray:
    """Return the heights that were added to the prior."""
    with rasterio.open(out) as heights, rasterio.open(files[1]) as prior:
        return np.asarray(heights.read(1) - prior.read(1))


def under(files: tuple[Path, Path], sun: Direction) -> np.ndarray:
    """Return what the bundle adds under a sun."""
    with rasterio.open(files[1]) as prior:
        return incidence(prior.read(1), 2.0, sun.unit) - np.float32(sun.unit[2])


def test_it_goes_before_the_tags(bundle: Bundle, files: tuple[Path, Path], tmp_path: Path) -> None:
    tag_sun(files[0], Direction(150, 50))
    out = tmp_path / "out.tif"
    surface = demiurge.generate(
        files[0], out, prior=files[1], bundle=bundle, sun=GIVEN, prior_accuracy=float("inf")
    )
    np.testing.assert_allclose(added(files, out), under(files, GIVEN), atol=2e-5)
    assert np.abs(under(files, GIVEN) - under(files, Direction(150, 50))).max() > 0.1
    assert surface.tags["sun"] == "azimuth 305.0, elevation 32.0 degrees"
    assert surface.tags["sun_from"] == "given"
    (note,) = (n for n in surface.notes if "--sun" in n)
    assert "(azimuth 150.0, elevation 50.0 degrees) differs by" in note
    assert "(azimuth 305.0, elevation 32.0 degrees), which is used" in note


def test_it_goes_before_that_of_a_scene(
    bundle: Bundle, files: tuple[Path, Path], tmp_path: Path
) -> None:
    demiurge.prepare(
        {"red": f"{files[0]}:1", "dem_prior": files[1]}, tmp_path / "scene",
        sun=Direction(304, 33),
    )  # fmt: skip
    surface = demiurge.generate(
        tmp_path / "scene", tmp_path / "out.tif", bundle=bundle, sun=(305, 32),
        prior_accuracy=float("inf"),
    )  # fmt: skip
    np.testing.assert_allclose(added(files, tmp_path / "out.tif"), under(files, GIVEN), atol=2e-5)
    assert not any("--sun" in note for note in surface.notes), "they agree within 3 degrees"


def test_a_bundle_without_the_sun_says_that_it_is_not_used(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle = make_bundle(
        tmp_path / "plain.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), graph=plane_graph(4, [1, None]),
    )  # fmt: skip
    with_sun, without = (
        demiurge.generate(
            files[0], tmp_path / f"{sun}.tif", prior=files[1], bundle=bundle, sun=sun,
            prior_accuracy=float("inf"),
        )
        for sun in ((305, 32), None)
    )  # fmt: skip
    (note,) = (n for n in with_sun.notes if "--sun" in n)
    assert note.startswith("--sun (azimuth 305.0, elevation 32.0 degrees) is not used: bundle ")
    assert with_sun.tags["sun"] == "azimuth 305.0, elevation 32.0 degrees"
    assert "sun_from" not in with_sun.tags
    assert not any("--sun" in n for n in without.notes)
    heights = [rasterio.open(tmp_path / f"{sun}.tif").read(1) for sun in ((305, 32), None)]
    np.testing.assert_array_equal(*heights)


@pytest.mark.parametrize("value", [(150, 95), (150, 0), (1000, 40), (150,), "150", 7])
def test_values_that_are_no_direction_are_refused(
    files: tuple[Path, Path], tmp_path: Path, value: object
) -> None:
    with pytest.raises(UsageError, match=r"--sun is .*; give two numbers in degrees"):
        demiurge.generate(files[0], tmp_path / "o.tif", sun=value)  # type: ignore[arg-type]
    assert not (tmp_path / "o.tif").exists()


def test_on_the_command_line(
    bundle: Bundle, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.tif"
    words = ["generate", str(files[0]), "--prior", str(files[1]), "--bundle", str(bundle.path),
             "--prior-accuracy", "inf", "-o", str(out)]  # fmt: skip
    for text in ("305", "305,95", "32,305", "400,10", "north,32"):
        with pytest.raises(SystemExit) as refused:
            run([*words, "--sun", text])
        assert refused.value.code == 2
        assert f"--sun {text}: is not an azimuth and an elevation" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(SystemExit) as done:
        run([*words, "--sun", "305,32"])
    assert done.value.code == 0
    np.testing.assert_allclose(added(files, out), under(files, GIVEN), atol=2e-5)
