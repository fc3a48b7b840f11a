"""The viewer under load: 16 clients request 200 tiles a second for a minute, of a large COG.

Clients run in another process than the server. Tiles are drawn at random over zoom levels and
styles, so that few are repeated. A latency counts from the time at which the request is due, so
that a slow server cannot delay the measurement. CPU time per tile holds on a busy machine as well.
"""

from __future__ import annotations

import asyncio
import math
import os
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
COMMAND = (str(Path(sys.executable).with_name("demiurge")), "view", "--no-browser")
STYLES = ("style=ramp&shade=0.6", "style=ramp", "style=terrain", "style=contours")


def measure(quick: bool) -> list[Claim]:
    """Failures, latencies and memory."""
    seconds = 5 if quick else 60
    with tempfile.TemporaryDirectory() as name:
        path = _surface(Path(name) / "large.tif", 2000 if quick else SIDE)
        started = time.monotonic()
        server = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0]
            page, tile = _first(url, started)
            process = psutil.Process(server.pid)
            before = sum(process.cpu_times()[:2])
            begin = time.monotonic()
            times, failures, memory = asyncio.run(_load(url, seconds, process))
            needed = time.monotonic() - begin
            spent = sum(process.cpu_times()[:2]) - before
        finally:
            server.kill()
            server.wait()
    middle, last = memory[len(memory) // 2], memory[-1]
    return [
        at_most("from the command to the page", page, "s", 3),
        Claim("from the command to the first tile", tile, "s"),
        at_least("tiles a second", len(times) / needed, "", 0.97 * RATE),
        at_most("failures", failures, "", 0),
        Claim("median latency", float(np.median(times)) * 1000, "ms"),
        at_most("95 % of latencies", float(np.percentile(times, 95)) * 1000, "ms", 250),
        Claim("CPU time per tile", spent / len(times) * 1000, "ms"),
        Claim("load of the machine per core", os.getloadavg()[0] / (os.cpu_count() or 1), ""),
        at_most("memory at the end over that at half time", last / middle, "", 1.1),
        Claim("memory at the end", last / 2**20, "MiB"),
    ]


def _first(url: str, started: float) -> tuple[float, float]:
    """Return the seconds from the command to the page, and to a tile as the page requests it."""
    with httpx.Client(base_url=url, timeout=60) as client:
        client.get("").raise_for_status()
        page = time.monotonic() - started
        bounds = client.get("api/catalogue").json()["layers"][0]["bounds"]
        client.get(_address(bounds, random.Random(1))).raise_for_status()
        return page, time.monotonic() - started


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
                try:
                    status = (await client.get(_address(bounds, draw))).status_code
                except httpx.HTTPError:
                    status = 0
                times.append(time.monotonic() - due)
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
