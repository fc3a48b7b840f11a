"""Chips per second: a prepared stack against opening one GeoTIFF per layer and chip."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as RioWindow

from common import Claim, at_least, interleaved, main, median
from data import LAYERS, write_layers
from demiurge.scene.grid import Window
from demiurge.scene.prepare import prepare

SIZE = 256


def measure(quick: bool) -> list[Claim]:
    """Chips per second from the prepared stack against one GeoTIFF per layer and chip."""
    side, count, repeats = (1024, 20, 3) if quick else (4096, 100, 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_layers(folder / "layers", side)
        scene = prepare(paths, folder / "scene", equalise=False)
        corners = np.random.default_rng(0).integers(0, side - SIZE, (count, 2)).tolist()

        def from_stack() -> None:
            for row, col in corners:
                scene.read(Window(row, col, SIZE, SIZE), LAYERS)

        def from_files() -> None:
            for row, col in corners:
                window = RioWindow(col, row, SIZE, SIZE)
                planes = []
                for layer in LAYERS:
                    with rasterio.open(paths[layer]) as file:
                        planes.append(file.read(1, window=window))
                np.stack(planes)

        _require_equal(scene, paths, corners[0])
        times = interleaved({"stack": from_stack, "files": from_files}, repeats)
    stack, files = (count / median(times[k]) for k in ("stack", "files"))
    return [
        Claim(f"prepared stack, {len(LAYERS)} layers of {side}² px", stack, "chips/s"),
        Claim("one GeoTIFF per layer and chip (LZW tiles)", files, "chips/s"),
        at_least("ratio", stack / files, "times", 35),
    ]


def _require_equal(scene, paths, corner) -> None:  # type: ignore[no-untyped-def]
    """Both methods must give the same pixels, otherwise the ratio is meaningless."""
    row, col = corner
    with rasterio.open(paths["dsm"]) as file:
        expected = file.read(1, window=RioWindow(col, row, SIZE, SIZE), masked=True)
    pixels = scene.read(Window(row, col, SIZE, SIZE), ["dsm"])[0]
    np.testing.assert_array_equal(pixels, expected.filled(np.nan))


if __name__ == "__main__":
    main(measure)
