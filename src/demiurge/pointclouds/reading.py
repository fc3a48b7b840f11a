"""From clouds to the store: points are filtered, transformed to the grid and sorted by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError
from demiurge.pointclouds.cloud import Cloud, require_within
from demiurge.pointclouds.services import bounds_to
from demiurge.pointclouds.store import PointStore, record_type, tile_side
from demiurge.progress import Advance
from demiurge.scene.crs import proj_of, transform
from demiurge.scene.grid import Bounds, intersection
from demiurge.threads import map_ordered

#: Classes of noise: low points and high noise (ASPRS LAS 1.4).
_NOISE = (7, 18)
#: Classes of ground and water.
_GROUND = (2, 9)
#: Values of colours up to this one are 8 bits wide.
_BYTE = 255


@dataclass
class Tally:
    """Numbers of points, by what became of them."""

    read: int = 0
    used: int = 0
    noise: int = 0
    outside: int = 0
    stray: int = 0
    invalid: int = 0
    ground: int = 0
    brightest: int = 0

    def add(self, other: Tally) -> None:
        """Add the numbers of another tally."""
        for name in vars(other):
            value = getattr(other, name)
            old = getattr(self, name)
            setattr(self, name, max(old, value) if name == "brightest" else old + value)


@dataclass(frozen=True)
class Stored:
    """The points of a scene on disk, with the numbers by file."""

    store: PointStore
    total: Tally
    files: dict[str, Tally] = field(default_factory=dict)


def store_points(
    clouds: Sequence[Cloud], grid: GeoBox, folder: Path, jobs: int, advance: Advance
) -> Stored:
    """Read all clouds once and write their points by tile.

    Parameters
    ----------
    folder
        An empty folder.
    advance
        Called with millions of points.

    Raises
    ------
    ResourceError, DataError
        If a file cannot be read or is damaged, or no point is on the grid.
    """
    box = grid.boundingbox
    area = (box.left, box.bottom, box.right, box.top)
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    expected = sum(_expected(cloud, area, grid.crs) for cloud in clouds)
    colour = any(cloud.colour for cloud in clouds)
    store = PointStore(folder, shape, tile_side(shape, expected), record_type(colour=colour))
    stored = Stored(store, Tally())
    items = _records(clouds, area, grid.crs)
    for cloud, parts, tally in map_ordered(
        lambda item: (item[0], *_sorted(*item, grid, store)), items, jobs, ahead=jobs
    ):
        store.append(parts)
        stored.total.add(tally)
        stored.files.setdefault(cloud.name, Tally()).add(tally)
        require_within(cloud.name, stored.files[cloud.name].stray, cloud.points)
        advance(tally.read / 1e6)
    if stored.total.used == 0:
        raise DataError(
            f"none of {stored.total.read} points can be used: {stored.total.outside} are outside "
            f"the scene, {stored.total.noise} are noise or withheld",
            "check the bounds and the CRS",
        )
    return stored


def _expected(cloud: Cloud, area: Bounds, crs: Any) -> float:
    """Return the number of points of a cloud that are probably in an area."""
    box = bounds_to(cloud.bounds, cloud.frame.crs, crs)
    shared = intersection([box, area])
    if shared is None:
        return 0.0
    sizes = [max((b[2] - b[0]) * (b[3] - b[1]), 1e-9) for b in (shared, box)]
    return cloud.points * min(1.0, sizes[0] / sizes[1])


def _records(clouds: Sequence[Cloud], area: Bounds, crs: Any) -> Iterator[tuple[Cloud, Any]]:
    """Yield the records of all clouds that overlap an area, some at once."""
    for cloud in clouds:
        if intersection([_wide(bounds_to(cloud.bounds, cloud.frame.crs, crs)), area]) is None:
            continue
        window = bounds_to(area, crs, cloud.frame.crs)
        for record in cloud.read(_wide(window)):
            yield cloud, record


def _wide(box: Bounds) -> Bounds:
    """Return bounds with a margin for the curvature of their edges in another CRS."""
    x, y = 0.01 * (box[2] - box[0]) + 1e-6, 0.01 * (box[3] - box[1]) + 1e-6
    return box[0] - x, box[1] - y, box[2] + x, box[3] + y


def _sorted(
    cloud: Cloud, record: Any, grid: GeoBox, store: PointStore
) -> tuple[list[tuple[int, Any]], Tally]:
    """Return the used points of a record by tile, and the numbers of points."""
    tally = Tally(read=len(record))
    x, y = np.asarray(record.x, np.float64), np.asarray(record.y, np.float64)
    left, bottom, right, top = _wide(cloud.bounds)
    stray = ~((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
    classes = np.asarray(record.classification)
    noise = np.isin(classes, _NOISE) | np.asarray(record.withheld, bool)
    tally.stray, tally.noise = int(stray.sum()), int((noise & ~stray).sum())
    keep = np.flatnonzero(~(stray | noise))
    x, y = x[keep], y[keep]
    if cloud.frame.crs != proj_of(grid.crs):
        x, y = transform(x, y, cloud.frame.crs, grid.crs)
    a = grid.affine
    col, row = (x - a.c) / a.a, (y - a.f) / a.e
    inside = (row >= 0) & (row < grid.shape[0]) & (col >= 0) & (col < grid.shape[1])
    tally.outside = int(len(inside) - inside.sum())
    keep, row, col = keep[inside], row[inside], col[inside]
    z = (np.asarray(record.z, np.float64)[keep] * cloud.frame.factor).astype(np.float32)
    ground = np.isin(classes[keep], _GROUND)
    tally.used, tally.ground = len(keep), int(ground.sum())
    values = {"z": z, "ground": ground, "intensity": np.asarray(record.intensity)[keep]}
    if cloud.colour:
        for name in ("red", "green", "blue"):
            values[name] = np.asarray(record[name])[keep]
            tally.brightest = max(tally.brightest, int(values[name].max(initial=0)))
    return store.sorted_by_tile(row, col, values), tally
