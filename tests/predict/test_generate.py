"""What is particular to generate: plain pictures, priors that end, unlikely images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import demiurge
from conftest import LEFT, TOP, make_bundle, terrain, write_raster
from demiurge import Options
from demiurge.errors import UsageError
from demiurge.model.bundle import Bundle, save_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Adds 5 m to its prior."""
    return make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("dem_prior", "red", "green", "blue"),
        base="dem_prior", targets=("dtm",),
    )  # fmt: skip


@pytest.fixture
def alone(tmp_path: Path) -> Bundle:
    """Predicts 5 m, relative, from an image."""
    return make_bundle(
        tmp_path / "r.bundle", task="generate", layers=("red", "green", "blue"), base=None,
        targets=("dtm",), relative=True, pixel=(0.1, 0.4),
    )  # fmt: skip


def _picture(path: Path, driver: str) -> Path:
    rng = np.random.default_rng(0)
    data = rng.integers(1, 255, (3, 90, 120)).astype(np.uint8)
    with rasterio.open(
        path, "w", driver=driver, dtype="uint8", count=3, height=90, width=120,
        photometric="RGB" if driver == "GTiff" else None,
    ) as file:  # fmt: skip
        file.write(data)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("name", "driver"), [("a.jpg", "JPEG"), ("a.png", "PNG")])
def test_an_image_without_georeference_gets_a_local_frame(
    alone: Bundle, tmp_path: Path, name: str, driver: str
) -> None:
    picture = _picture(tmp_path / name, driver)
    surface = demiurge.generate(picture, tmp_path / "out.tif", bundle=alone)
    assert "has no georeference" in surface.notes[0]
    assert "pixels of 0.2 m, the bundle's pixel size" in surface.notes[0]
    with rasterio.open(surface.path) as file:
        assert "local frame" in file.crs.to_wkt()
        assert file.transform == from_origin(0, 18, 0.2, 0.2)
        assert file.shape == (90, 120)
    given = demiurge.generate(picture, tmp_path / "given.tif", bundle=alone, gsd=0.25)
    assert given.grid.affine.a == 0.25
    assert "set another" not in given.notes[0]
    with pytest.raises(UsageError, match="the prior cannot be aligned with it"):
        demiurge.generate(picture, tmp_path / "p.tif", bundle=alone, prior=picture)


def test_gsd_of_a_georeferenced_image_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    image = write_raster(
        tmp_path / "i.tif", np.stack([terrain()] * 3), names=["red", "green", "blue"]
    )
    with pytest.raises(UsageError, match="leave out --gsd"):
        demiurge.generate(image, tmp_path / "o.tif", bundle=bundle, gsd=3.0, prior=image)


def test_pixels_outside_the_prior_are_no_data(bundle: Bundle, tmp_path: Path) -> None:
    """An image alone gives no heights there; small voids are filled."""
    image = write_raster(
        tmp_path / "i.tif", np.stack([terrain()] * 3), names=["red", "green", "blue"]
    )
    coarse = terrain()[::4, ::4][:, :24].copy()
    coarse[20, 10] = np.nan
    prior = write_raster(tmp_path / "p.tif", coarse, transform=from_origin(LEFT, TOP, 8, 8))
    surface = demiurge.generate(image, tmp_path / "o.tif", bundle=bundle, prior=prior)
    assert any("the prior lacks 50% of the image" in note for note in surface.notes)
    with rasterio.open(surface.path) as file:
        heights = file.read(1)
    assert np.isfinite(heights[:, :94]).all()
    assert np.isnan(heights[:, 100:]).all()


def test_images_unlike_the_training_images_give_a_warning(tmp_path: Path) -> None:
    plain = make_bundle(
        tmp_path / "a.bundle", task="generate", layers=("red",), base=None, targets=("dtm",)
    )
    entry = plain.contract.layers[0].model_copy(update={"offset": 100.0, "scale": 20.0})
    contract = plain.contract.model_copy(update={"layers": [entry]})
    card = plain.card.model_copy(update={"contract": contract})
    bundle = save_bundle(plain.path, card, plain.graph(), plain.weights(), overwrite=True)
    like = terrain()
    for name, image, given in (
        ("like", like, 0),
        ("dark", like - 100, 1),
        ("flat", like / 50 + 98, 1),
    ):
        path = write_raster(tmp_path / f"{name}.tif", image.astype(np.float32), names=["red"])
        notes = demiurge.generate(path, tmp_path / f"{name}_out.tif", bundle=bundle).notes
        assert sum("treat the result as unreliable" in note for note in notes) == given, name


def test_without_an_optional_prior_the_result_is_relative(tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "o.bundle", task="generate", layers=("dem_prior", "red", "green", "blue"),
        optional=("dem_prior",), base="dem_prior", targets=("dtm",),
    )  # fmt: skip
    image = write_raster(
        tmp_path / "i.tif", np.ones((3, 100, 120), np.float32), names=["red", "green", "blue"]
    )
    prior = write_raster(tmp_path / "p.tif", terrain(100, 120))
    alone = demiurge.generate(image, tmp_path / "alone.tif", bundle=bundle)
    assert alone.bands == ("dtm_relative", "dtm_relative_uncertainty")
    with rasterio.open(alone.path) as file:
        assert file.tags()["units"] == "relative"
        assert file.tags()["vertical_reference"] == "none"
    alone_counts = Options(prior_accuracy=float("inf"))
    laid = demiurge.generate(
        image, tmp_path / "laid.tif", bundle=bundle, prior=prior, options=alone_counts
    )
    assert laid.bands == ("dtm", "dtm_uncertainty")
    with rasterio.open(laid.path) as file:
        np.testing.assert_allclose(file.read(1), terrain(100, 120) + 5, atol=0.01)


def test_images_rougher_than_the_training_images_give_a_warning(tmp_path: Path) -> None:
    plain = make_bundle(
        tmp_path / "a.bundle", task="generate", layers=("red",), base=None, targets=("dtm",)
    )
    entry = plain.contract.layers[0].model_copy(update={"normalise": "scene", "grain": (0.02, 0.3)})
    contract = plain.contract.model_copy(update={"layers": [entry]})
    card = plain.card.model_copy(update={"contract": contract})
    bundle = save_bundle(plain.path, card, plain.graph(), plain.weights(), overwrite=True)
    noise = np.random.default_rng(0).normal(500, 9, terrain().shape)
    for name, image, said in (
        ("like", terrain(), None),
        ("bright", terrain() * 90 + 7, None),
        ("noise", noise, "rougher than"),
        ("ramp", np.mgrid[:160, :192][0] * 1.0, "smoother than"),
        ("black", np.zeros(terrain().shape), "holds no information on heights"),
    ):
        path = write_raster(tmp_path / f"{name}.tif", image.astype(np.float32), names=["red"])
        notes = demiurge.generate(path, tmp_path / f"{name}_out.tif", bundle=bundle).notes
        given = [n for n in notes if "unreliable" in n or "no information" in n]
        assert len(given) == (said is not None), name
        assert said is None or said in given[0]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_default_bundle_depends_on_the_prior(
    raster: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = ("red", "green", "blue")
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    make_bundle(
        shipped / "generate.bundle", task="generate", layers=("dem_prior", *bands),
        base="dem_prior", targets=("dtm",),
    )  # fmt: skip
    make_bundle(
        shipped / "generate-relative.bundle", task="generate", layers=bands, base=None,
        targets=("dtm",), relative=True,
    )  # fmt: skip
    monkeypatch.setenv("DEMIURGE_BUNDLES", str(shipped))
    colours = np.random.default_rng(0).integers(1, 255, (3, 96, 96)).astype(np.uint8)
    image = raster("rgb.tif", colours, names=list(bands))
    prior = raster("prior.tif", np.full((96, 96), 50, np.float32))

    def used(**options: object) -> str:
        surface = demiurge.generate(image, tmp_path / "o.tif", overwrite=True, **options)
        return surface.tags["bundle"]

    assert used() == "generate-relative"
    assert used(prior=prior) == "generate"
    scene = tmp_path / "scene"
    files = {name: f"{image}:{band}" for band, name in enumerate(bands, start=1)}
    demiurge.prepare({**files, "dem_prior": prior}, scene)
    image = scene
    assert used() == "generate"
