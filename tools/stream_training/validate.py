"""Simulate the scenes that validate, of held-out places and of made land.

``python validate.py DATA validation.npz.xz VALID`` writes VALID/pool, scenes as train.py watches
them, and VALID/scenes, scene folders on which package.py calibrates the uncertainty.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import scene_file
from demiurge.simulation.run import simulate
from places import PLACES
from simulate import draw_scene
from surfaces import read

#: Takes of each place in the pool.
TAKES = 2
#: Scene folders by place: number, pixels a side, seed.
FOLDERS = {
    "auckland_freemans": (5, 512, 501),
    "seville_cathedral": (4, 288, 502),
    "adelaide": (4, 320, 503),
    "osbs_pine": (4, 256, 504),
}
#: The same of made land, at 0.5 m.
MADE = (7, 512, 505)


def write_pool(packed: Path, pool: Path) -> None:
    """Write scenes of every place as files of a pool."""
    pool.mkdir(parents=True, exist_ok=True)
    surfaces = read(packed)
    for k, name in enumerate(n for n in surfaces for _ in range(TAKES)):
        rng = np.random.default_rng((77, k))
        _, gsd, layers = draw_scene({name: surfaces[name]}, {name: 1.0}, 1.0, rng)
        path = pool / f"s{k:02d}_{name}.npz"
        scene_file.write(path, *scene_file.pack(gsd, layers), name)
        print(path, flush=True)


def write_folders(data: Path, output: Path, sites: int | None = None) -> None:
    """Write scene folders of every place; ``sites`` of each instead of the usual number."""
    output.mkdir(parents=True, exist_ok=True)
    for name, (count, size, seed) in FOLDERS.items():
        folder = PLACES[name].folder(data)
        images = [p for p in (folder / "rgb.tif", folder / "grey.tif") if p.exists()]
        simulate(
            output / name,
            config={"size": size},
            surface=folder / "dsm.tif",
            terrain=folder / "dtm.tif",
            albedo=images[0] if images else None,
            vary=True, sites=sites or count, seed=seed, overwrite=True,
        )  # fmt: skip
        print(output / name, flush=True)
    count, size, seed = MADE
    simulate(
        output / "made",
        style="mixed",
        config={"size": size, "gsd": 0.5},
        vary=True, sites=sites or count, seed=seed, overwrite=True,
    )  # fmt: skip


def main() -> None:
    """Write both from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the real surfaces")
    parser.add_argument("packed", type=Path, help="from surfaces.py --validate")
    parser.add_argument("output", type=Path)
    parser.add_argument("--sites", type=int, help="scene folders of each place, for a rehearsal")
    given = parser.parse_args()
    write_pool(given.packed, given.output / "pool")
    write_folders(given.data, given.output / "scenes", given.sites)


if __name__ == "__main__":
    main()
