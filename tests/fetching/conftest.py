"""One world for all tests of a module: each month has its own items."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from demiurge.fetching import place
from demiurge.fetching.http import Limits

from .faulty import Server
from .world import SIZE, World

OFFSET: dict[str, Any] = {"nodata": 0, "scale": 0.0001, "offset": -0.1}
BASELINE = {"s2:processing_baseline": "05.10"}
APPLIED = {**BASELINE, "earthsearch:boa_offset_applied": True}
QUICK = Limits(connect=2, silence=1, total=5, tries=3, pause=0.01, longest_pause=0.05)


def add_offsets(world: World) -> None:
    """Four ways in which services state the same reflectance, and one that is wrong."""
    world.sentinel2("by_baseline", "2023-01-10T10:30:00Z", dn_offset=1000, **BASELINE)
    world.sentinel2("applied", "2023-02-10T10:30:00Z", bands=OFFSET, **APPLIED)
    world.sentinel2("old", "2023-03-10T10:30:00Z", **{"s2:processing_baseline": "02.14"})
    world.sentinel2("stated", "2023-04-10T10:30:00Z", dn_offset=1000, bands=OFFSET, **BASELINE)
    wrong = {**BASELINE, "earthsearch:boa_offset_applied": False}
    world.sentinel2("wrong", "2023-05-10T10:30:00Z", base=0.01, bands=OFFSET, **wrong)


def add_weather(world: World) -> None:
    """Passes with clouds, cirrus and snow."""
    half = np.full((SIZE // 2, SIZE // 2), 4, np.uint8)
    half[:, : SIZE // 4] = 9
    world.sentinel2("june_1", "2024-06-01T10:30:00Z", base=0.10, **APPLIED)
    world.sentinel2("june_2", "2024-06-11T10:30:00Z", base=0.14, cloud=20, **APPLIED)
    world.sentinel2("june_3", "2024-06-21T10:30:00Z", base=0.60, scl=half, cloud=40, **APPLIED)
    world.sentinel2("clouds", "2024-07-01T10:30:00Z", scl=9, **APPLIED)
    world.sentinel2("snow", "2024-08-01T10:30:00Z", scl=11, **APPLIED)
    world.sentinel2("overcast", "2024-09-01T10:30:00Z", cloud=95, **APPLIED)


def add_faults(world: World) -> None:
    """Items without a key or a file, in another CRS, at another place."""
    world.sentinel2("whole_1", "2022-01-01T10:30:00Z", **APPLIED)
    world.sentinel2("no_key", "2022-01-11T10:30:00Z", base=0.3, drop=("red",), **APPLIED)
    world.sentinel2("no_file", "2022-01-21T10:30:00Z", base=0.3, **APPLIED)
    (world.folder / "data" / "no_file" / "red.tif").unlink()
    # The same ground in the neighbouring zone.
    world.sentinel2("zone_31", "2022-03-01T10:30:00Z", crs="EPSG:32631", left=862000.0,
                    top=5110000.0, **APPLIED)  # fmt: skip
    world.sentinel2("antimeridian", "2022-04-01T10:30:00Z", crs="EPSG:32601", left=173000.0,
                    top=1443500.0, box=(-180.0, 13.0, 180.0, 14.0), **APPLIED)  # fmt: skip


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("rustac")
    pytest.importorskip("odc.stac")
    world = World(tmp_path_factory.mktemp("world"))
    add_offsets(world)
    add_weather(world)
    add_faults(world)
    world.landsat("landsat", "2021-01-10T10:20:00Z")
    world.hls("HLS.S30.T32TLS.2021040", "2021-02-10T10:20:00Z")
    world.hls("HLS.L30.T32TLS.2021070", "2021-03-10T10:20:00Z")
    world.sentinel2("with_hls", "2021-02-10T10:30:00Z", **APPLIED)
    world.dem()
    world.dem(179, 13, count=1200)
    world.dem(-180, 13, count=1200)
    with world.serve() as server:
        yield server


@pytest.fixture
def server(served: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server without faults, and limits that suit loopback."""
    monkeypatch.setattr(place, "Limits", lambda: QUICK)
    served.requests.clear()
    yield served
    served.faults.clear()
    served.accepts = None
