"""Simulated stereo over the real lidar surfaces that the shipped `refine` was not trained on.

Shapes and truth are real; light, views, sensor and matching are simulated and vary from take to
take. The rasters are in $DEMIURGE_DATA or ../shared/data. Scenes are made once in a folder
($DEMIURGE_SCENES, or ``--scenes``) and used again; without one, in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy import ndimage

from common import data_folder
from demiurge import simulate
from demiurge.evaluation.slopes import near_steps
from demiurge.scene.spec import SPEC_NAME

Array = np.ndarray

TAKES = 4
SEED = 7700
#: Least height above the ground, in metres, of pixels of objects.
TALL = 2.0
#: Side of the scenes in pixels by place: what the surface has, at most 384.
SIDES = {
    "adelaide": 320, "auckland_freemans": 384, "gothenburg": 216, "seville_cathedral": 288,
    "vienna_boku": 240, "zurich_shore": 112, "osbs_pine": 264, "quebec_forest": 280,
    "tahoe_forest": 352, "bc_forest": 384, "mcdonald_forest": 384, "atlantic_forest": 384,
    "tararua_forest": 368,
}  # fmt: skip


def surface_folder(data: Path, place: str) -> Path:
    """Return the folder of a place's rasters."""
    inner = data / "surfaces" / place
    return inner if inner.is_dir() else data / place


def present(data: Path, only: list[str] | None = None) -> list[str]:
    """Return the places whose rasters exist."""
    places = [p for p in SIDES if (surface_folder(data, p) / "dsm.tif").is_file()]
    return [p for p in places if not only or p in only]


def takes_of(data: Path, scenes: Path, place: str, takes: int = TAKES) -> list[Path]:
    """Return the scene folders of a place; simulate those that ``scenes`` lacks."""
    folder = scenes / place
    wanted = [folder / f"site_{k:03d}" for k in range(takes)]
    if all((path / SPEC_NAME).is_file() for path in wanted):
        return wanted
    source = surface_folder(data, place)
    images = [source / n for n in ("rgb.tif", "grey.tif") if (source / n).is_file()]
    scenes.mkdir(parents=True, exist_ok=True)
    simulate(
        folder, surface=source / "dsm.tif", terrain=source / "dtm.tif",
        albedo=images[0] if images else None, config={"size": SIDES[place]}, vary=True,
        sites=max(takes, 2), seed=SEED + list(SIDES).index(place), overwrite=True,
    )  # fmt: skip
    return wanted


@contextmanager
def scenes_folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder of the scenes: the given one, $DEMIURGE_SCENES, or a temporary one."""
    named = given or os.environ.get("DEMIURGE_SCENES")
    if named:
        yield Path(named)
    else:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)


def add_scenes_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of the scenes."""
    parser.add_argument("--scenes", type=Path, help="folder that keeps the simulated scenes")


def classes(truth: Array, earth: Array, gsd: float) -> dict[str, Array]:
    """Return the masks of all pixels with truth, insides of objects, steps and open ground.

    Parameters
    ----------
    truth, earth
        float32 (rows, columns) heights of the surface and of the ground in metres, NaN for none.
    """
    known = np.isfinite(truth)
    steps = near_steps(truth, gsd)
    tall = truth - earth > TALL
    return {
        "all": known,
        "insides": known & tall & ~ndimage.binary_dilation(steps, np.ones((3, 3))),
        "steps": known & steps,
        "open": known & np.isfinite(earth) & ~tall & ~steps,
    }


def main() -> None:
    """Simulate the scenes that a folder lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_scenes_argument(parser)
    parser.add_argument("--only", help="names of places, separated by commas")
    arguments = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    with scenes_folder(arguments.scenes) as scenes:
        for place in present(data, arguments.only.split(",") if arguments.only else None):
            print(place, *(p.name for p in takes_of(data, scenes, place)), flush=True)


if __name__ == "__main__":
    main()
