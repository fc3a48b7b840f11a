"""The viewer under load: 16 clients request 200 tiles a second for a minute, of a large COG.

Clients run in another process than the server. Tiles are drawn at random over zoom levels and
styles, so that few are repeated.
"""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import rasterio
from rasterio.transform import from_origin

from common import Claim, at_least, at_most, main

SIDE, GSD = 10_000, 0.5
CLIENTS, RATE = 16, 200
SERVE = """
import sys
from demiurge.viewer.run import serve
viewer = serve(sys.argv[1:])
print(viewer.url, flush=True)
viewer.wait()
"""
STYLES = ("style=ramp&shade=0.6", "style=ramp", "style=terrain", "style=contours")


def measure(quick: bool) -> list[Claim]:
    """Failures, latencies and memory."""
    seconds = 5 if quick else 60
    with tempfile.TemporaryDirectory() as name:
        path = _surface(Path(name) / "large.tif", 2000 if quick else SIDE)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            started = time.monotonic()
            url = server.stdout.readline().strip()
            opened = time.monotonic() - started
            process = psutil.Process(server.pid)
            times, failures, memory = asyncio.run(_load(url, seconds, process))
        finally:
            server.kill()
            server.wait()
    middle, last = memory[len(memory) // 2], memory[-1]
    return [
        at_most("start of the server", opened, "s", 3),
        at_least("tiles a second", len(times) / seconds, "", 0.98 * RATE),
        at_most("failures", failures, "", 0),
        Claim("median latency", float(np.median(times)) * 1000, "ms"),
        at_most("95 % of latencies", float(np.percentile(times, 95)) * 1000, "ms", 250),
        at_most("memory at the end over that at half time", last / middle, "", 1.1),
        Claim("memory at the end", last / 2**20, "MiB"),
    ]


def _surface(path: Path, side: int) -> Path:
    rng = np.random.default_rng(0)
    with rasterio.open(
        path.with_suffix(".raw.tif"), "w", driver="GTiff", width=side, height=side, count=1,
        dtype="float32", crs="EPSG:32633", transform=from_origin(500000, 5000000, GSD, GSD),
        tiled=True,
    ) as file:  # fmt: skip
        for row in range(0, side, 500):
            y, x = np.mgrid[row : row + 500, :side].astype(np.float32)
            z = 100 + 40 * np.sin(x / 300) * np.cos(y / 200) + rng.normal(0, 0.3, x.shape)
            file.write(z.astype(np.float32), 1, window=((row, row + 500), (0, side)))
    from rasterio.shutil import copy

    copy(path.with_suffix(".raw.tif"), path, driver="COG", compress="deflate")
    return path


async def _load(
    url: str, seconds: int, process: psutil.Process
) -> tuple[list[float], int, list[int]]:
    times: list[float] = []
    memory: list[int] = []
    failures = 0
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        answer = (await client.get("api/catalogue")).json()
        bounds = answer["layers"][0]["bounds"]
        draw = random.Random(0)
        end = time.monotonic() + seconds

        async def one_client(number: int) -> None:
            nonlocal failures
            due = time.monotonic() + number / RATE
            while due < end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                begin = time.monotonic()
                status = (await client.get(_address(bounds, draw))).status_code
                times.append(time.monotonic() - begin)
                failures += status != 200
                due += CLIENTS / RATE

        async def watch() -> None:
            while time.monotonic() < end:
                memory.append(process.memory_info().rss)
                await asyncio.sleep(0.5)

        await asyncio.gather(watch(), *(one_client(n) for n in range(CLIENTS)))
    return times, failures, memory


def _address(bounds: list[float], draw: random.Random) -> str:
    west, south, east, north = bounds
    z = draw.choice((13, 14, 15, 16, 17, 17, 18, 18))
    lon, lat = draw.uniform(west, east), draw.uniform(south, north)
    x = int((lon + 180) / 360 * 2**z)
    sine = math.sin(math.radians(lat))
    y = int((0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)) * 2**z)
    return f"tiles/WebMercatorQuad/{z}/{x}/{y}.png?layer=L0&{draw.choice(STYLES)}"


if __name__ == "__main__":
    main(measure)
