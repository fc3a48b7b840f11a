"""Training end to end, on scenes whose initial DSM is 3 m too high."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rasterio

pytest.importorskip("lightning")

import demiurge
from conftest import terrain
from demiurge.errors import ConfigError, DataError, UsageError
from demiurge.model.bundle import Bundle, default_bundle, load_bundle
from demiurge.scene.scene import Scene
from demiurge.training import fit
from demiurge.training.recipe import Recipe

from .conftest import MakeScene, cache_exports, hills, tiny_recipe

# Warnings of the frameworks about their own code.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

LEARNING = {
    "epochs": 6,
    "chips": {"size": 32, "per_epoch": 80, "batch": 8},
    "optimiser": {"rate": 5e-3},
    "ema": 0.5,
    "network": {"encoder": "resnet18", "depth": 3, "decoder_channels": [16, 8, 8]},
}


class Trained(NamedTuple):
    """A scene, and a bundle trained on it."""

    scene: Scene
    bundle: Bundle
    path: Path


def _trained(folder: Path, recipe: Recipe) -> Trained:
    scene, path = hills(folder), folder / "m.bundle"
    return Trained(scene, demiurge.train([scene], path, recipe=recipe), path)


@pytest.fixture(scope="module")
def exports(graphs: Path) -> Iterator[None]:
    """Cached exports for the fixtures of this module."""
    with pytest.MonkeyPatch.context() as patch:
        cache_exports(patch, graphs)
        yield


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, exports: None) -> Trained:
    """Train long enough to learn."""
    return _trained(tmp_path_factory.mktemp("learnt"), tiny_recipe(**LEARNING))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, exports: None) -> Trained:
    """Train the tiny recipe without interruption or loader processes."""
    return _trained(tmp_path_factory.mktemp("plain"), tiny_recipe())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, exports: None) -> Path:
    """Interrupt a training of the tiny recipe after its first epoch; return its folder."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        interrupted([hills(folder)], folder / "m.bundle", tiny_recipe(), patch)
    return folder


def test_it_learns_writes_a_bundle_and_the_bundle_works(learnt: Trained, tmp_path: Path) -> None:
    scene, bundle, path = learnt
    metrics = bundle.card.metrics
    assert metrics["input_mae"] == pytest.approx(3, abs=0.3)
    assert metrics["mae"] < 0.6 * metrics["input_mae"]
    assert len(metrics["history"]) == 6
    assert min(bundle.card.contract.calibration) > 0
    assert bundle.card.provenance["scenes"][0]["name"] == "scene"
    assert not path.with_name("m.bundle.work").exists()
    surface = demiurge.refine(scene, tmp_path / "out.tif", bundle=path)
    with rasterio.open(surface.path) as file:
        error = np.abs(file.read(1) - terrain()).mean()
    assert error < 0.6 * 3


def test_the_same_training_twice_gives_the_same_weights(plain: Trained, tmp_path: Path) -> None:
    again = demiurge.train([plain.scene], tmp_path / "2.bundle", recipe=tiny_recipe())
    assert again.card.sha256 == plain.bundle.card.sha256


def test_a_resumed_training_gives_the_same_weights(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, recipe = make_scene(), tiny_recipe(epochs=3, ema=0.5)
    straight = demiurge.train([scene], tmp_path / "s.bundle", recipe=recipe)
    from demiurge.training.callbacks import ProgressCallback

    path = tmp_path / "r.bundle"
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_train_epoch_start", _stop_at(2))
        with pytest.raises(KeyboardInterrupt):
            demiurge.train([scene], path, recipe=recipe)
    assert not path.exists()
    with pytest.raises(UsageError, match="add --resume"):
        demiurge.train([scene], path, recipe=recipe)
    with pytest.raises(ConfigError, match="other settings"):
        demiurge.train([scene], path, recipe=tiny_recipe(epochs=4, ema=0.5), resume=True)
    resumed = demiurge.train([scene], path, recipe=recipe, resume=True)
    assert resumed.card.sha256 == straight.card.sha256
    assert resumed.card.metrics["history"] == straight.card.metrics["history"]


def interrupted(
    scenes: list[Scene], path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Interrupt a training after its first epoch; return its last checkpoint."""
    from demiurge.training.callbacks import ProgressCallback

    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_train_epoch_start", _stop_at(1))
        with pytest.raises(KeyboardInterrupt):
            demiurge.train(scenes, path, recipe=recipe)
    return path.with_name(f"{path.name}.work") / "last.ckpt"


def _copy(stopped: Path, folder: Path) -> tuple[Scene, Path]:
    """Copy the interrupted training and its scene into the folder of a test."""
    shutil.copytree(stopped, folder, dirs_exist_ok=True)
    return demiurge.open_scene(folder / "scene"), folder / "m.bundle.work" / "last.ckpt"


def test_a_training_is_resumed_only_on_the_same_scenes(
    make_scene: MakeScene, tmp_path: Path, stopped: Path
) -> None:
    (scene, last), recipe = _copy(stopped, tmp_path), tiny_recipe()
    path, checkpoint = tmp_path / "m.bundle", last.read_bytes()

    def refused(scenes: list[Scene], match: str, **options: Bundle) -> None:
        with pytest.raises(ConfigError, match=match):
            demiurge.train(scenes, path, recipe=recipe, resume=True, **options)
        assert (tmp_path / "m.bundle.work" / "last.ckpt").read_bytes() == checkpoint

    refused([scene, make_scene("other", east=9000.0)], "had other places")
    refused([make_scene("other2", seed=1)], "had other places")
    # Another scene of the same name.
    kept = (tmp_path / "scene").rename(tmp_path / "kept")
    for other in ({"seed": 1}, {"east": 4000.0}):
        refused([make_scene(**other)], "had other contents of its scenes")
        shutil.rmtree(tmp_path / "scene")
    # A copy of the same scene.
    shutil.copytree(kept, tmp_path / "scene")
    bundle = demiurge.train([tmp_path / "scene"], path, recipe=recipe, resume=True)
    assert len(bundle.card.metrics["history"]) == 2
    assert list(bundle.card.provenance["contents"]) == ["scene"]


def test_a_training_is_resumed_only_from_the_same_bundle(
    plain: Trained, tmp_path: Path, stopped: Path
) -> None:
    scene, _ = _copy(stopped, tmp_path)
    with pytest.raises(ConfigError, match="another bundle to start from"):
        demiurge.train(
            [scene],
            tmp_path / "m.bundle",
            recipe=tiny_recipe(),
            resume=True,
            begin_from=plain.bundle,
        )


class _Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_checkpoint_runs_no_code(stopped: Path, tmp_path: Path) -> None:
    import torch

    (scene, last), recipe, path = _copy(stopped, tmp_path), tiny_recipe(), tmp_path / "m.bundle"
    content, trace = last.read_bytes(), tmp_path / "ran"
    state = torch.load(last, weights_only=True)
    torch.save({**state, "extra": _Harmful(trace)}, last)
    with pytest.raises(DataError, match="could run code"):
        demiurge.train([scene], path, recipe=recipe, resume=True)
    assert not trace.exists()
    for damaged in (content[: len(content) // 2], b"", b"nonsense" * 100):
        last.write_bytes(damaged)
        with pytest.raises(DataError, match=r"last\.ckpt: is"):
            demiurge.train([scene], path, recipe=recipe, resume=True)
    (last.parent / "training.yaml").write_text("[")
    with pytest.raises(ConfigError, match="the settings of its training cannot be read"):
        demiurge.train([scene], path, recipe=recipe, resume=True)


@pytest.mark.parametrize("adversarial", [0.0, 1.0])
def test_a_diverged_network_is_not_written(
    make_scene: MakeScene, tmp_path: Path, capsys: pytest.CaptureFixture[str], adversarial: float
) -> None:
    recipe = tiny_recipe(
        epochs=4,
        optimiser={"rate": 1e30, "schedule": "constant"},
        losses={"adversarial": adversarial, "judge_width": 4},
    )
    with pytest.raises(ConfigError, match=r"diverged.*lower optimiser.rate"):
        demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=recipe, quiet=False)
    assert "diverged in epoch 1 and stops" in capsys.readouterr().err
    assert not list(tmp_path.glob("m.bundle*"))


def test_epochs_before_a_divergence_are_kept(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demiurge.training.module import HeightModule

    plain = HeightModule.loss_and_error

    def spoilt(self, batch):  # type: ignore[no-untyped-def]
        loss, error = plain(self, batch)
        return loss * (float("nan") if self.trainer.current_epoch == 1 else 1), error

    monkeypatch.setattr(HeightModule, "loss_and_error", spoilt)
    bundle = demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=tiny_recipe(epochs=4))
    history = load_bundle(tmp_path / "m.bundle").card.metrics["history"]
    assert [epoch["mae"] is None for epoch in history] == [False, True]
    assert np.isfinite(bundle.card.metrics["mae"])


def test_warnings_of_the_check_are_shown_and_stored(
    make_scene: MakeScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make_scene(offset=18)
    bundle = demiurge.train(
        [scene], tmp_path / "m.bundle", recipe=tiny_recipe(epochs=1), quiet=False
    )
    text = "scene 'scene', layer 'truth_dsm': differs from 'dsm' by +15.0 m at the median"
    assert f"note: {text}" in capsys.readouterr().err
    assert any(text in note for note in bundle.card.provenance["plan"]["notes"])
    assert any(text in note for note in demiurge.plan([scene], recipe=tiny_recipe()).notes)


def test_loader_processes_do_not_change_the_weights(
    plain: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loader processes are used on machines with a GPU. Also after an interruption."""
    from demiurge.training import fit
    from demiurge.training.callbacks import ProgressCallback

    scene, alone, recipe = plain.scene, plain.bundle, tiny_recipe()
    monkeypatch.setattr(fit, "_workers", lambda gpu: 1)
    path = tmp_path / "helped.bundle"
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_train_epoch_start", _stop_at(1))
        with pytest.raises(KeyboardInterrupt):
            demiurge.train([scene], path, recipe=recipe)
    helped = demiurge.train([scene], path, recipe=recipe, resume=True)
    assert helped.card.sha256 == alone.card.sha256
    assert helped.card.metrics["history"] == alone.card.metrics["history"]


def _stop_at(epoch: int):  # type: ignore[no-untyped-def]
    def start(self, trainer, pl_module) -> None:  # type: ignore[no-untyped-def]
        trainer.train_dataloader.dataset.epoch = trainer.current_epoch
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt

    return start


def test_the_batch_of_a_bundle_is_not_that_of_its_gpu() -> None:
    bundle = default_bundle("refine")
    assert bundle.card.recipe["chips"]["batch"] > 16
    assert fit._recipe(None, [], bundle).chips.batch == 16
    assert fit._recipe(None, ["chips.batch=48"], bundle).chips.batch == 48


def test_training_from_a_bundle(learnt: Trained, tmp_path: Path) -> None:
    scene, first, path = learnt
    second = demiurge.train(
        [scene],
        tmp_path / "2.bundle",
        recipe=tiny_recipe(epochs=1, optimiser={"rate": 1e-6}, network=LEARNING["network"]),
        begin_from=first,
    )
    assert second.card.metrics["mae"] < 0.8 * second.card.metrics["input_mae"]
    third = demiurge.train(
        [scene],
        tmp_path / "3.bundle",
        changes=["epochs=1", "split.buffer=8"],
        begin_from=path,
    )
    assert third.card.provenance["begun_from"]["graph.onnx"] == first.card.sha256["graph.onnx"]
    own = {**first.card.recipe, "epochs": 1, "split": third.card.recipe["split"]}
    assert third.card.recipe == own, "the recipe of the bundle, changed"
    assert third.card.recipe["split"]["validation"] == 0.2, "without its split"
    other = tiny_recipe(layers=["dsm"], optional=[])
    with pytest.raises(DataError, match="same layers"):
        demiurge.train([scene], tmp_path / "4.bundle", recipe=other, begin_from=first)


def test_missing_truth_raises_before_any_work(make_scene: MakeScene, tmp_path: Path) -> None:
    recipe = tiny_recipe(targets=["dtm"])
    with pytest.raises(UsageError, match="has no layer 'truth_dtm'"):
        demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=recipe)
    assert not (tmp_path / "m.bundle.work").exists()


def test_resuming_nothing(make_scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no training to resume"):
        demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=tiny_recipe(), resume=True)


def test_relative_heights_are_learned_up_to_an_offset(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    recipe = tiny_recipe(
        task="generate",
        layers=["ortho_left"],
        optional=[],
        base=None,
        heights={"relative": True},
        augment={"flip": False},
    )
    bundle = demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=recipe)
    assert bundle.contract.relative
    assert bundle.card.metrics["input_mae"] < 40, "errors after subtraction of the mean"
