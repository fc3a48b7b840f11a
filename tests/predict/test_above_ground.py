"""Heights above ground: alone they are no elevations; over a prior they are a surface."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pydantic import ValidationError
from rasterio.transform import from_origin

import demiurge
from conftest import LEFT, TOP, make_bundle, terrain, write_raster
from demiurge.errors import DataError, UsageError
from demiurge.model.bundle import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Predicts 5 m above ground from an image."""
    return make_bundle(
        tmp_path / "d.bundle", task="generate", layers=("red", "green", "blue"), base=None,
        targets=("height",),
    )  # fmt: skip


@pytest.fixture
def image(tmp_path: Path) -> Path:
    colours = np.stack([terrain(seed=seed) for seed in range(3)])
    return write_raster(tmp_path / "image.tif", colours, names=["red", "green", "blue"])


def test_without_a_prior_the_result_is_no_elevation(
    bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    surface = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle)
    assert surface.bands == ("height", "height_uncertainty")
    assert surface.unit == "m"
    assert surface.tags["heights"] == "above ground"
    assert surface.tags["vertical_reference"] == "none"
    assert any("not elevation" in note for note in surface.notes)
    with rasterio.open(surface.path) as file:
        np.testing.assert_allclose(file.read(1), 5, atol=1e-3)
        assert file.tags()["heights"] == "above ground"


def test_over_a_prior_the_result_is_a_surface(bundle: Bundle, image: Path, tmp_path: Path) -> None:
    """The prior of 8 m pixels ends in the middle of the image and is a plane, so cubic is exact."""
    rows, columns = np.mgrid[:40, :24].astype(np.float32)
    plane = 300 + 2 * columns - rows
    prior = write_raster(
        tmp_path / "prior.tif", plane, crs="EPSG:32633+5773", transform=from_origin(LEFT, TOP, 8, 8)
    )
    surface = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle, prior=prior)
    assert surface.bands == ("dsm", "dsm_uncertainty")
    assert surface.tags["heights"] == "prior plus predicted height above ground"
    assert "EGM96" in surface.tags["vertical_reference"]
    assert "prior.tif" in surface.tags["inputs"]
    notes = " ".join(surface.notes)
    assert "must be bare earth" in notes
    assert "the prior lacks 50% of the image" in notes
    assert "not used" not in notes
    with rasterio.open(surface.path) as file:
        heights = file.read(1)
    row, col = np.mgrid[:160, :192]
    ground = 300 + 2 * ((col + 0.5) / 4 - 0.5) - ((row + 0.5) / 4 - 0.5)
    inner = (slice(16, -16), slice(16, 80))
    np.testing.assert_allclose(heights[inner], ground[inner] + 5, atol=0.02)
    assert np.isnan(heights[:, 100:]).all()
    assert surface.unknown == pytest.approx(0.5, abs=0.02)


def test_an_interrupted_result_is_not_resumed_with_another_ground(
    bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    flat = write_raster(tmp_path / "flat.tif", np.full((160, 192), 20, np.float32))
    alone = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle)
    over = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle, prior=flat, overwrite=True)
    with rasterio.open(over.path) as file:
        np.testing.assert_allclose(file.read(1), 25, atol=1e-3)
    assert alone.bands != over.bands


def test_heights_are_not_below_the_ground(image: Path, tmp_path: Path) -> None:
    low = make_bundle(
        tmp_path / "low.bundle", task="generate", layers=("red", "green", "blue"), base=None,
        targets=("height",), answers=[-0.5, 0.0],
    )  # fmt: skip
    surface = demiurge.generate(image, tmp_path / "out.tif", bundle=low)
    with rasterio.open(surface.path) as file:
        heights, uncertainty = file.read()
    assert (heights == 0).all()
    assert (uncertainty > 0).all()


def test_points_need_a_ground(bundle: Bundle, image: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    rows, columns = np.mgrid[20:140:30, 20:180:30]
    x, y = LEFT + 2 * columns.ravel() + 1, TOP - 2 * rows.ravel() - 1
    lines = [f"{a},{b},57" for a, b in zip(x, y, strict=True)]
    points.write_text("\n".join(["x,y,z", *lines]), encoding="utf-8")
    given = {"bundle": bundle, "points": points, "points_crs": "EPSG:32633"}
    with pytest.raises(UsageError, match="predicts height above ground"):
        demiurge.generate(image, tmp_path / "out.tif", **given)
    assert not (tmp_path / "out.tif").exists()
    flat = write_raster(tmp_path / "flat.tif", np.full((160, 192), 20, np.float32))
    surface = demiurge.generate(image, tmp_path / "out.tif", prior=flat, **given)
    with rasterio.open(surface.path) as file:
        np.testing.assert_allclose(file.read(1), 57, atol=0.01)


@pytest.mark.parametrize("target", ["dsm", "dtm", "both"])
def test_other_targets_are_refused(
    bundle: Bundle, image: Path, tmp_path: Path, target: str
) -> None:
    with pytest.raises(UsageError, match="predicts no d") as error:
        demiurge.generate(image, tmp_path / "out.tif", bundle=bundle, target=target)
    assert "leave out --target" in error.value.cure


def test_a_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="above ground have no base"):
        make_bundle(tmp_path / "b.bundle", targets=("height",))


def test_check_points_are_no_heights_above_ground(
    bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    surface = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle)
    points = tmp_path / "points.csv"
    points.write_text(f"x,y,z\n{LEFT + 20},{TOP - 20},57\n", encoding="utf-8")
    with pytest.raises(DataError, match="are above ground") as error:
        demiurge.certify(surface.path, points, points_crs="EPSG:32633")
    assert "--prior" in error.value.cure


def test_evaluation_against_heights_above_ground(
    bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    """Zeros of the reference are ground, not no data: the error of 5 m on them counts."""
    truth = np.zeros((160, 192), np.float32)
    truth[40:80, 40:120] = 25
    reference = write_raster(tmp_path / "above.tif", truth)
    surface = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle)
    result = demiurge.evaluate(surface.path, reference)
    share = 40 * 80 / truth.size
    assert result.surface.mae == pytest.approx(5 * (1 - share) + 20 * share, rel=1e-3)
    assert not any("exactly 0" in note for note in result.notes)
