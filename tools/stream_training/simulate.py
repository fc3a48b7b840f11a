"""Simulate scenes into a pool, by several processes, until stopped.

``python simulate.py surfaces.npz.xz POOL --workers 14 --seed 100``. Each process has its own seed
and one thread; together they pause while many scenes wait in the pool. Stop it with Ctrl-C or
SIGTERM when the training is done.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import scene_file
from demiurge.simulation.settings import make_stereo_settings
from demiurge.simulation.stereo import MARGIN, simulate_stereo
from demiurge.simulation.styles import STEREO, merged, varied
from places import PLACES
from scene_file import SIZE
from surfaces import Surface, read
from worlds import PIXEL_SIZES, real_world

Array = np.ndarray

#: Share of the scenes that are takes of real places; the others are made land.
REAL = 0.62
#: First number of every seed, so that pools of other purposes never repeat these scenes.
STREAM = 20261126
_PIXEL_SHARES = (0.1, 0.14, 0.22, 0.12, 0.14, 0.16, 0.06, 0.06)


def draw_scene(
    surfaces: Mapping[str, Surface],
    weights: Mapping[str, float],
    real: float,
    rng: np.random.Generator,
) -> tuple[str, float, dict[str, Array]]:
    """Simulate one scene of a drawn place, with drawn cameras, light and matcher.

    Returns
    -------
    Place or style, pixel size in metres, and float32 (SIZE, SIZE) by layer.
    """
    drawn = varied("stereo", rng)
    if rng.random() < real:
        name, gsd, world, void = real_world(surfaces, weights, rng)
        settings = make_stereo_settings(merged({"size": SIZE, "gsd": gsd}, drawn), name)
        layers = simulate_stereo(settings, rng, world)
        hidden = void[MARGIN:-MARGIN, MARGIN:-MARGIN]
        for truth in ("truth_dsm", "truth_dtm"):
            layers[truth] = np.where(hidden, np.nan, layers[truth])
        return name, gsd, layers
    style = str(rng.choice([*STEREO, "town", "town", "forest", "forest"]))
    gsd = float(rng.choice(PIXEL_SIZES, p=_PIXEL_SHARES))
    content = merged(merged(dict(STEREO[style]), drawn), {"size": SIZE, "gsd": gsd})
    if style == "town" and rng.random() < 0.5:
        highest = float(rng.uniform(20, 70))
        content = merged(content, {"cover": {"building_height": [4, highest]}})
    return style, gsd, simulate_stereo(make_stereo_settings(content, style), rng)


def is_matched(gsd: float, layers: Mapping[str, Array]) -> bool:
    """Return whether the matcher measured enough of the surface."""
    dsm = layers["dsm"]
    if np.isfinite(dsm).mean() < 0.3:
        return False
    return bool(np.nanmedian(np.abs(dsm - layers["truth_dsm"])) <= 3 * gsd + 1)


def fill_pool(packed: Path, pool: Path, seed: int, count: int | None, most: int) -> None:
    """Simulate scenes of one seed into the pool.

    Parameters
    ----------
    count
        Scenes to draw; without end if None. Those that were not matched are left out.
    most
        Scenes waiting in the pool from which on to pause.
    """
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    surfaces = read(packed)
    weights = {name: PLACES[name].weight for name in surfaces}
    n = 0
    while count is None or n < count:
        while n % 8 == 0 and len(list(pool.iterdir())) > most:
            time.sleep(1)
        try:
            rng = np.random.default_rng((STREAM, seed, n))
            name, gsd, layers = draw_scene(surfaces, weights, REAL, rng)
            if is_matched(gsd, layers):
                path = pool / f"s{seed:03d}_{n:05d}.npz"
                scene_file.write(path, *scene_file.pack(gsd, layers), name)
        except Exception as error:  # one bad draw must not end the stream
            print(f"scene {seed} {n} failed: {type(error).__name__} {error}", flush=True)
        n += 1


def main() -> None:
    """Start the processes and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surfaces", type=Path, help="from surfaces.py")
    parser.add_argument("pool", type=Path, help="folder of waiting scenes")
    parser.add_argument("--workers", type=int, default=max((os.cpu_count() or 1) - 2, 1))
    parser.add_argument("--seed", type=int, default=100, help="of the first process")
    parser.add_argument("--count", type=int, help="scenes drawn by each process; endless")
    parser.add_argument("--most", type=int, default=2500, help="scenes that may wait")
    given = parser.parse_args()
    given.pool.mkdir(parents=True, exist_ok=True)
    # The children read these before they load NumPy and Numba.
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=fill_pool,
            args=(given.surfaces, given.pool, given.seed + i, given.count, given.most),
            daemon=True,
        )
        for i in range(given.workers)
    ]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
