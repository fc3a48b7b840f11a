"""Simulated takes of real surfaces with known views, for parallax_hints.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools" / "stream_training"))

import scene_file
from demiurge.simulation.settings import StereoSettings, make_stereo_settings
from demiurge.simulation.stereo import MARGIN, draw_turn, simulate_stereo, views_of
from demiurge.simulation.styles import merged, varied
from places import PLACES, TRAINED
from simulate import is_matched
from surfaces import Surface, pack, read
from worlds import real_world

#: First number of the scenes' seeds.
STREAM = 20261127


def displacement_of(settings: StereoSettings, turn: float) -> np.ndarray:
    """Return pixels (row, column) per metre of height of both views, float32 (2, 2)."""
    moves = [view.displacement for view in views_of(settings, turn)]
    return np.array([(-north, east) for east, north in moves], np.float32) / settings.gsd


def open_surfaces(data: Path, packed: Path) -> dict[str, Surface]:
    """Return the surfaces with open data; they are packed into a file once."""
    if not packed.exists():
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(pack(data, TRAINED))
    return read(packed)


def simulate(surfaces: dict[str, Surface], folder: Path, count: int) -> list[Path]:
    """Draw ``count`` takes of real surfaces, as far as the folder lacks them.

    Returns
    -------
    The files of those that were matched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: PLACES[name].weight for name in surfaces}
    for n in range(count):
        path = folder / f"s{n:05d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng((STREAM, n))
        drawn = varied("stereo", rng)
        name, gsd, world, void = real_world(surfaces, weights, rng)
        content = merged({"size": scene_file.SIZE, "gsd": gsd}, drawn)
        settings = make_stereo_settings(content, name)
        turn = draw_turn(settings, rng)
        layers = simulate_stereo(settings, rng, world, turn=turn)
        hidden = void[MARGIN:-MARGIN, MARGIN:-MARGIN]
        for truth in ("truth_dsm", "truth_dtm"):
            layers[truth] = np.where(hidden, np.nan, layers[truth])
        if not is_matched(gsd, layers):
            continue
        packed, statistics = scene_file.pack(gsd, layers)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(
                file, planes=packed, statistics=statistics,
                displacement=displacement_of(settings, turn),
            )  # fmt: skip
        partial.replace(path)
    paths = (folder / f"s{n:05d}.npz" for n in range(count))
    return [path for path in paths if path.exists()]
