"""Trainings with a discriminator: pix2pix, and images predicted from heights."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

pytest.importorskip("lightning")

import demiurge
from conftest import terrain, write_raster
from demiurge.baselines.pix2pix import PatchDiscriminator
from demiurge.errors import UsageError
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.training.recipe import load_recipe

from .conftest import tiny_recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Hills: red is proportional to the height, green to its negative, blue nearly constant."""
    truth = terrain(192, 256)
    tint = (truth - truth.mean()) / truth.std()
    bands = np.stack([100 + 30 * tint, 100 - 30 * tint, 50 + 5 * tint]).astype(np.float32)
    files = {"truth_dtm": write_raster(tmp_path / "t.tif", truth)}
    for name, band in zip(("red", "green", "blue"), bands, strict=True):
        files[name] = write_raster(tmp_path / f"{name}.tif", band)
    return prepare(files, tmp_path / "scene")


PIX2PIX = {
    "task": "generate",
    "layers": ["red", "green", "blue"],
    "optional": [],
    "base": None,
    "targets": ["dtm"],
    "heights": {"relative": True, "scaled": True},
    "network": {"architecture": "pix2pix", "depth": 4, "decoder_channels": [16]},
    "augment": {"flip": False},
    "losses": {"absolute": 100.0, "uncertainty": 0.0, "adversarial": 1.0, "judge_width": 8},
    "optimiser": {"name": "adam", "rate": 1e-3, "momentum": 0.5, "schedule": "constant"},
    "chips": {"size": 32, "per_epoch": 60, "batch": 4},
    "epochs": 3,
}


def test_pix2pix_learns_relative_heights(scene: Scene, tmp_path: Path) -> None:
    bundle = demiurge.train([scene], tmp_path / "m.bundle", recipe=tiny_recipe(**PIX2PIX))
    assert bundle.contract.relative
    assert bundle.contract.scaled
    assert bundle.contract.heights.scale == 1
    metrics = bundle.card.metrics
    assert metrics["mae"] < 0.75 * metrics["input_mae"]
    surface = demiurge.generate(
        scene, tmp_path / "out.tif", bundle=bundle, options=demiurge.Options(window=64)
    )
    with rasterio.open(surface.path) as file:
        heights = file.read(1)
        assert file.tags()["units"] == "relative"
    assert np.corrcoef(heights.ravel(), terrain(192, 256).ravel())[0, 1] > 0.6


def test_the_discriminator_changes_the_weights_and_is_not_in_the_bundle(
    scene: Scene, tmp_path: Path
) -> None:
    adversarial = demiurge.train(
        [scene], tmp_path / "1.bundle", recipe=tiny_recipe(**{**PIX2PIX, "epochs": 1})
    )
    losses = {"absolute": 100.0, "uncertainty": 0.0}
    without = demiurge.train(
        [scene], tmp_path / "2.bundle",
        recipe=tiny_recipe(**{**PIX2PIX, "epochs": 1, "losses": losses}),
    )  # fmt: skip
    assert adversarial.card.sha256 != without.card.sha256
    content = adversarial.graph() + adversarial.weights()
    assert b"discriminator" not in content


def test_a_plateau_lowers_the_rate(scene: Scene, tmp_path: Path) -> None:
    """At a rate of almost zero no epoch improves; the rate is halved after six."""
    optimiser = {"name": "adam", "rate": 1e-12, "schedule": "plateau"}
    recipe = tiny_recipe(
        **{**PIX2PIX, "optimiser": optimiser, "epochs": 8,
           "chips": {"size": 32, "per_epoch": 4, "batch": 4}}
    )  # fmt: skip
    bundle = demiurge.train([scene], tmp_path / "m.bundle", recipe=recipe)
    rates = [epoch["rate"] for epoch in bundle.card.metrics["history"]]
    assert rates[0] == 1e-12
    assert rates[-1] == pytest.approx(0.5e-12)


def test_a_plan_counts_the_discriminator(scene: Scene) -> None:
    losses = {"absolute": 100.0, "uncertainty": 0.0, "judge_width": 64}
    alone = demiurge.plan([scene], recipe=tiny_recipe(**{**PIX2PIX, "losses": losses})).cost
    recipe = tiny_recipe(**{**PIX2PIX, "losses": {**losses, "adversarial": 1.0}})
    both = demiurge.plan([scene], recipe=recipe).cost
    assert alone is not None
    assert both is not None
    discriminator = PatchDiscriminator(3 + 3 + 1, 64)
    assert both.parameters == alone.parameters + sum(p.numel() for p in discriminator.parameters())
    assert both.memory_mb > 1.5 * alone.memory_mb


def test_images_are_predicted_from_heights(scene: Scene, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        task="imagine",
        layers=["dtm"],
        optional=[],
        base=None,
        targets=["red", "green", "blue"],
        augment={"flip": False},
        losses={"absolute": 100.0, "uncertainty": 0.0, "adversarial": 0.1, "judge_width": 8},
        optimiser={"name": "adam", "rate": 3e-3, "momentum": 0.5, "schedule": "constant"},
        chips={"size": 32, "per_epoch": 80, "batch": 4},
        epochs=4,
    )
    bundle = demiurge.train([scene], tmp_path / "m.bundle", recipe=recipe)
    metrics = bundle.card.metrics
    assert metrics["mae"] < 0.75 * metrics["input_mae"]
    dem = write_raster(tmp_path / "dem.tif", terrain(128, 128, seed=1))
    surface = demiurge.imagine(dem, tmp_path / "image.tif", bundle=bundle)
    with rasterio.open(surface.path) as file:
        assert file.descriptions == ("red", "green", "blue")
        assert [c.name for c in file.colorinterp] == ["red", "green", "blue"]
        assert file.tags()["units"] == "DN"
        red, green, _ = file.read()
    assert np.corrcoef(red.ravel(), green.ravel())[0, 1] < -0.5
    with pytest.raises(UsageError, match="was trained to imagine"):
        demiurge.generate(scene, tmp_path / "x.tif", bundle=bundle)


def test_pix2pix_has_the_published_settings() -> None:
    recipe = load_recipe("pix2pix")
    assert (recipe.network.depth, recipe.chips.size) == (8, 256)
    assert (recipe.losses.absolute, recipe.losses.adversarial) == (100, 1)
    assert (recipe.optimiser.rate, recipe.optimiser.momentum) == (2e-4, 0.5)


def test_the_discriminator_sees_patches_of_70_pixels() -> None:
    import torch

    from demiurge.baselines.pix2pix import PatchDiscriminator

    discriminator = PatchDiscriminator(1).eval()
    image = torch.randn(1, 1, 256, 256, requires_grad=True)
    scores = discriminator(image)
    scores[0, 0, 15, 15].backward()
    assert image.grad is not None
    rows = image.grad[0, 0].abs().sum(dim=1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70
