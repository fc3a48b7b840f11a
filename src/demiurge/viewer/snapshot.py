"""Pictures of layers without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError, missing_extra
from demiurge.figure import Panel, draw
from demiurge.outputs import atomic_file, check_output
from demiurge.paths import PathLike
from demiurge.raster.oblique import oblique
from demiurge.raster.terrain import hillshade
from demiurge.scene.grid import cropped_grid, pixel_size
from demiurge.viewer.catalogue import open_catalogue
from demiurge.viewer.layers import ViewLayer
from demiurge.viewer.measure import metric_grid
from demiurge.viewer.options import ViewOptions

#: Longest side of a panel in pixels.
_SIDE = 900
#: Largest number of panels.
_MOST = 12


def snapshot(paths: Sequence[PathLike], options: ViewOptions) -> Path:
    """Draw the layers of files in one PNG: maps, or oblique views of the heights.

    Raises
    ------
    UsageError
        If the output exists, is not a PNG, or the bounds are no box.
    DataError
        If the bounds lie outside the rasters, or nothing can be drawn.
    ResourceError
        If Matplotlib is not installed.
    """
    assert options.snapshot is not None
    target = options.snapshot
    inputs = [path for path in paths if Path(path).exists()]
    check_output(target, overwrite=options.overwrite, inputs=inputs, suffixes=(".png",))
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_extra("matplotlib", "view", "drawing a snapshot") from None
    layers = [one for one in open_catalogue(paths).layers.values() if one.show != "class"]
    if options.perspective:
        layers = [one for one in layers if one.show == "height"]
    if not layers:
        raise DataError("there are no heights to draw", "name a surface")
    grid = _grid(layers[0], options.bounds)
    panels = []
    for one in layers[:_MOST]:
        data = one.read(grid)
        if not np.isfinite(data).any():
            continue
        if options.perspective:
            picture = _oblique(data[0], one, pixel_size(grid), options.exaggeration)
            panels.append(Panel(one.title, picture, "image"))
        else:
            panels.append(_panel(one, data))
    if not panels:
        raise DataError("no layer has values there", "choose other --bounds")
    title = Path(str(paths[0])).name if len(paths) == 1 else f"{len(paths)} inputs"
    with atomic_file(target, overwrite=options.overwrite) as partial, partial.open("wb") as file:
        draw(file, title, panels, pixel_size(grid), columns=min(len(panels), 4))
    return target


def _grid(one: ViewLayer, bounds: str | None) -> GeoBox:
    """Return the grid of the picture: that of the first layer, cropped and thinned."""
    grid = metric_grid(one)
    if bounds is not None:
        try:
            left, bottom, right, top = (float(part) for part in bounds.split(","))
        except ValueError:
            raise UsageError(f"--bounds {bounds}: is no box", "write it as L,B,R,T") from None
        if not (-np.inf < left < right < np.inf and -np.inf < bottom < top < np.inf):
            raise UsageError(f"--bounds {bounds}: is empty", "write it as L,B,R,T")
        grid = cropped_grid(grid, (left, bottom, right, top))
    factor = max(1.0, max(int(n) for n in grid.shape) / _SIDE)
    rows, columns = (max(1, round(int(n) / factor)) for n in grid.shape)
    return grid.zoom_to((rows, columns))


def _panel(one: ViewLayer, data: Array) -> Panel:
    if one.show in ("image", "index"):
        level = np.clip((data - one.low) / max(one.high - one.low, 1e-12), 0, 1)
        stack = np.moveaxis(level if len(level) == 3 else np.repeat(level, 3, axis=0), 0, -1)
        return Panel(one.title, np.nan_to_num(stack, nan=1.0), "image")
    return Panel(one.title, data[0], "uncertainty" if one.show == "uncertainty" else "height")


def _oblique(heights: Array, one: ViewLayer, gsd: float, factor: float) -> Array:
    from matplotlib import colormaps

    level = np.clip((heights - one.low) / max(one.high - one.low, 1e-12), 0, 1)
    rgb = colormaps["viridis"](np.nan_to_num(level))[..., :3]
    light = np.nan_to_num(hillshade(heights, gsd), nan=1.0)[..., None] * 0.6 + 0.4
    lit = (rgb * np.clip(light, 0, 1) * 255).astype(np.uint8)
    return oblique(heights, lit, gsd, 40, factor).astype(np.float32)
