"""The log of a training on disk."""

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio

pytest.importorskip("lightning")
pytest.importorskip("matplotlib")

import demiurge
from demiurge.errors import ResourceError

from .conftest import MakeScene, tiny_recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]


def test_a_table_and_a_picture_for_each_epoch(make_scene: MakeScene, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    bundle = demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=tiny_recipe(), log=folder)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    history = bundle.card.metrics["history"]
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    for key in ("mae", "input_mae", "loss", "rate"):
        assert [float(row[key]) for row in rows] == [h[key] for h in history]
    for epoch in (1, 2):
        with rasterio.open(folder / f"epoch_{epoch:03d}.png") as file:
            picture = file.read()
        assert picture.shape[2] > 800
        assert np.std(picture) > 10


def test_events_for_tensorboard(make_scene: MakeScene, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "log"
    recipe = tiny_recipe(epochs=1)
    bundle = demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=recipe, log=folder)
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    (point,) = events.Scalars("mae")
    assert point.value == pytest.approx(bundle.card.metrics["history"][0]["mae"], rel=1e-5)


def test_a_log_folder_that_cannot_be_made(make_scene: MakeScene, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="choose another --log"):
        demiurge.train(
            [make_scene()],
            tmp_path / "m.bundle",
            recipe=tiny_recipe(),
            log=tmp_path / "file" / "log",
        )
