"""Blocks of a cluster whose workers change between two runs; workers are played by this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from conftest import blur_graph, make_bundle, terrain, write_raster
from demiurge.errors import ResourceError, UsageError
from demiurge.model.backend.choose import Choice
from demiurge.predict import cluster
from demiurge.predict.api import refine
from demiurge.predict.options import Options

Play = Callable[..., list[str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "LEAST", 64)
    heights = terrain(300, 420)
    heights[50:80, 100:160] = np.nan
    write_raster(Path("dsm.tif"), heights)
    make_bundle(Path("a.bundle"), graph=blur_graph(2, 2), scale=1.0)
    refine("dsm.tif", "one.tif", bundle="a.bundle")
    return tmp_path


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Replace the cluster by this process; workers are lost after a number of blocks."""

    def begin(workers: int, lost_after: int | None = None) -> list[str]:
        done: list[str] = []

        class Client:
            def scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
                return {"workers": {str(i): {"nthreads": 1} for i in range(workers)}}

            def submit(self, task: Callable[..., Any], *given: Any, **_: Any) -> Any:
                return lambda: task(*given)

        @contextmanager
        def client(address: str, quiet: bool) -> Iterator[Client]:
            yield Client()

        def finished(futures: dict[Any, str]) -> Iterator[tuple[Any, Any]]:
            for future, name in futures.items():
                if lost_after is not None and len(done) == lost_after:
                    raise ResourceError("the workers are gone", "start some")
                yield future, future()
                done.append(name)

        monkeypatch.setattr(cluster, "_client", client)
        monkeypatch.setattr(cluster, "_finished", finished)
        return done

    return begin


def read(path: str) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read()
    return pixels


def blocks(place: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (place / "out.blocks").iterdir()}


@pytest.mark.parametrize("name", ["out.tif", "out.vrt"])
def test_another_number_of_workers_resumes_with_the_same_blocks(
    place: Path, play: Play, name: str
) -> None:
    options = Options(cluster="tcp://played:1")
    first = play(1, lost_after=3)
    with pytest.raises(ResourceError, match="workers are gone"):
        refine("dsm.tif", name, bundle="a.bundle", options=options)
    parts = place / f".{name}.partial" / "blocks"
    (parts / ".row0_col0_1x1.77").mkdir()  # left by a lost worker
    second = play(8)
    surface = refine("dsm.tif", name, bundle="a.bundle", options=options)
    assert len(first) == 3
    assert not {*first} & {*second}, "finished blocks are not predicted again"
    assert surface.filled == 30 * 60
    assert surface.unknown == 0
    np.testing.assert_array_equal(read("one.tif"), read(name))
    assert not list(place.glob(".*"))
    if name == "out.vrt":
        assert {*blocks(place)} == {f"{n}.tif" for n in (*first, *second)}


def test_blocks_of_another_runtime_are_not_mixed(
    place: Path, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of workers with a GPU differ, and the key of the job does not include them."""
    pytest.importorskip("onnxruntime")
    options = Options(cluster="tcp://played:1")
    play(1, lost_after=2)
    with pytest.raises(ResourceError):
        refine("dsm.tif", "out.tif", bundle="a.bundle", options=options)
    on_workers = cluster._on_workers

    def other(job: Any, *given: Any) -> Any:
        found, resources, threads = on_workers(job, *given)
        return replace(found, choice=Choice("onnxruntime", "CPU", "f32")), resources, threads

    monkeypatch.setattr(cluster, "_on_workers", other)
    done = play(1)
    surface = refine("dsm.tif", "out.tif", bundle="a.bundle", options=options)
    assert len(done) == 6, "all blocks are predicted again"
    assert surface.filled == 30 * 60
    with rasterio.open("out.tif") as file:
        assert "ONNX Runtime" in file.tags()["runtime"]


def test_a_mosaic_replaces_only_its_own_blocks(place: Path, play: Play) -> None:
    options = Options(cluster="tcp://played:1")
    (place / "out.blocks").mkdir()
    letter = place / "out.blocks" / "letter.txt"
    letter.write_text("dear")
    play(8)
    with pytest.raises(UsageError, match=r"out\.blocks: exists already"):
        refine("dsm.tif", "out.vrt", bundle="a.bundle", options=options)
    again = options.model_copy(update={"overwrite": True})
    with pytest.raises(UsageError, match=r"out\.blocks: holds letter\.txt"):
        refine("dsm.tif", "out.vrt", bundle="a.bundle", options=again)
    assert letter.read_text() == "dear"
    letter.unlink()
    refine("dsm.tif", "out.vrt", bundle="a.bundle", options=again)
    many = blocks(place)
    play(1)
    refine("dsm.tif", "out.vrt", bundle="a.bundle", options=again)
    few = blocks(place)
    assert not {*few} & {*many}, "no stale block stays"
    np.testing.assert_array_equal(read("one.tif"), read("out.vrt"))


def test_a_mosaic_is_not_replaced_by_a_result_made_from_it(place: Path, play: Play) -> None:
    play(1)
    options = Options(cluster="tcp://played:1", overwrite=True)
    refine("dsm.tif", "out.vrt", bundle="a.bundle", options=options)
    before = blocks(place)
    for given in ("out.vrt", next(iter((place / "out.blocks").glob("*.tif")))):
        with pytest.raises(UsageError, match="is an input of this command"):
            refine(given, "out.vrt", bundle="a.bundle", options=options)
    assert blocks(place) == before


def test_a_failure_at_the_end_keeps_the_blocks(
    place: Path, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    options = Options(cluster="tcp://played:1", stac=True)
    play(2)
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "write_mosaic", full)
        with pytest.raises(ResourceError, match="No space left"):
            refine("dsm.tif", "out.vrt", bundle="a.bundle", options=options)
    assert not list(place.glob("out*"))
    done = play(2)
    refine("dsm.tif", "out.vrt", bundle="a.bundle", options=options)
    assert not done, "all blocks were there"
    np.testing.assert_array_equal(read("one.tif"), read("out.vrt"))
