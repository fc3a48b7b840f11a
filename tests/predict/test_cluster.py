"""Prediction in blocks on a cluster gives the pixels of one process."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

pytest.importorskip("distributed")

from conftest import blur_graph, make_bundle, terrain, write_raster
from demiurge.errors import ResourceError, UsageError
from demiurge.predict import cluster
from demiurge.predict.api import refine
from demiurge.predict.options import Options
from demiurge.predict.tiling import split_blocks

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def inputs(folder: Path) -> tuple[Path, Path]:
    heights = terrain(300, 420)
    heights[50:80, 100:160] = np.nan
    dsm = write_raster(folder / "dsm.tif", heights)
    make_bundle(folder / "a.bundle", graph=blur_graph(2, 2), scale=1.0)
    return dsm, folder / "a.bundle"


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read()
    return pixels


def test_blocks_cover_every_pixel_once() -> None:
    seen = np.zeros((130, 250), int)
    for area in split_blocks((130, 250), 64):
        assert area.height <= 64
        assert area.width <= 64
        seen[area.slices] += 1
    assert (seen == 1).all()


def test_two_workers_equal_one_process_even_if_one_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LEAST", 96)
    monkeypatch.setattr(cluster, "MOST", 96)
    dsm, bundle = inputs(tmp_path)
    refine(dsm, tmp_path / "one.tif", bundle=bundle)
    killed = []

    def kill_one(client, quiet: bool) -> None:  # type: ignore[no-untyped-def]
        def wait_and_kill() -> None:
            parts = tmp_path / ".two.tif.partial" / "blocks"
            while not list(parts.glob("row*.tif")):
                time.sleep(0.005)
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

        pids = list(client.run(os.getpid).values())
        threading.Thread(target=wait_and_kill, daemon=True).start()

    monkeypatch.setattr(cluster, "_show_dashboard", kill_one)
    options = Options(cluster="local:2")
    surface = refine(dsm, tmp_path / "two.tif", bundle=bundle, options=options)
    assert killed
    np.testing.assert_array_equal(read(tmp_path / "one.tif"), read(tmp_path / "two.tif"))
    assert surface.filled == 30 * 60
    assert not (tmp_path / ".two.tif.partial").exists()
    monkeypatch.undo()
    mosaic = tmp_path / "three.vrt"
    refine(dsm, mosaic, bundle=bundle, options=Options(cluster="local:1"))
    np.testing.assert_array_equal(read(tmp_path / "one.tif"), read(mosaic))
    assert list((tmp_path / "three.blocks").glob("*.tif"))
    with rasterio.open(mosaic) as file, rasterio.open(tmp_path / "one.tif") as one:
        assert file.descriptions == one.descriptions
        assert file.crs == one.crs
        assert file.transform == one.transform


@pytest.mark.parametrize(
    ("address", "error", "match"),
    [
        ("local:none", UsageError, "write local:4"),
        ("local:0", UsageError, "write local:4"),
        ("somewhere", UsageError, "write local:N"),
    ],
)
def test_invalid_addresses_are_refused(
    tmp_path: Path, address: str, error: type[Exception], match: str
) -> None:
    dsm, bundle = inputs(tmp_path)
    with pytest.raises(error, match=match):
        refine(dsm, tmp_path / "o.tif", bundle=bundle, options=Options(cluster=address))
    assert not (tmp_path / "o.tif").exists()
    assert not (tmp_path / ".o.tif.partial").exists()


def test_an_unreachable_scheduler_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dask import config

    dsm, bundle = inputs(tmp_path)
    with (
        config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ResourceError, match="no Dask scheduler answers"),
    ):
        options = Options(cluster="tcp://127.0.0.1:9")
        refine(dsm, tmp_path / "o.tif", bundle=bundle, options=options)
