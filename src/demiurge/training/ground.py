"""Which grids share ground, found with one index and one transform per grid and CRS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import pixel_size

Boxes = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: Share of its extent by which a box in degrees grows: the curved edges of a footprint may lie
#: between its sampled points.
_MARGIN = 1e-3


def shared_ground(first: Sequence[GeoBox], second: Sequence[GeoBox]) -> Indices:
    """Return the pairs of grids that share ground.

    Grids that only touch, within 1 % of a pixel, share none.

    Parameters
    ----------
    first, second
        Metric grids in any CRS, at any longitude. Footprints are compared in the CRS of ``first``.

    Returns
    -------
    int64 (pairs, 2): indices into ``first`` and ``second``, in ascending order.

    Raises
    ------
    DataError
        If a footprint has no place in degrees.
    """
    if not first or not second:
        return np.empty((0, 2), np.int64)
    # Takes of one place often have the same grid.
    grids: dict[tuple[object, ...], GeoBox] = {}
    keys = [_key(grid) for grid in (*first, *second)]
    for key, grid in zip(keys, (*first, *second), strict=True):
        grids.setdefault(key, grid)
    number = {key: i for i, key in enumerate(grids)}
    which = np.array([number[key] for key in keys], np.int64)
    a, b = which[: len(first)], which[len(first) :]
    unique = list(grids.values())
    rough = _rough(unique)
    pairs = _near(rough[a], rough[b])
    left, right = a[pairs[:, 0]], b[pairs[:, 1]]
    return pairs[_overlap(unique, left, right)]


def groups_of(grids: Sequence[GeoBox]) -> list[int]:
    """Return a number for each grid, equal for grids that share ground, directly or by others.

    Numbers begin at 0 and ascend in the order in which they first occur.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = shared_ground(grids, grids)
    later, earlier = pairs[pairs[:, 0] > pairs[:, 1]].T
    links = coo_array((np.ones(len(later), bool), (later, earlier)), shape=(len(grids),) * 2)
    _, labels = connected_components(links, directed=False)
    seen: dict[int, int] = {}
    return [seen.setdefault(int(label), len(seen)) for label in labels]


def _key(grid: GeoBox) -> tuple[object, ...]:
    return str(grid.crs), tuple(grid.affine)[:6], tuple(grid.shape)


def _rough(grids: Sequence[GeoBox]) -> Boxes:
    """Return slightly enlarged bounds in degrees (grids, 4), within one turn of ±180°."""
    degrees = CRS("EPSG:4326")
    boxes = np.array([bounds_in(grid, degrees) for grid in grids])
    margin = _MARGIN * (boxes[:, 2:] - boxes[:, :2])
    return np.hstack([boxes[:, :2] - margin, boxes[:, 2:] + margin])


def _near(first: Boxes, second: Boxes) -> Indices:
    """Return the pairs (pairs, 2) of bounds in degrees that meet, also across 180°."""
    turned = np.concatenate([first + np.array([turn, 0, turn, 0]) for turn in (-360, 0, 360)])
    tree = shapely.STRtree(shapely.box(*second.T))
    i, j = tree.query(shapely.box(*turned.T))
    codes = np.unique(i % len(first) * len(second) + j)
    return np.stack(np.divmod(codes, len(second)), axis=1)


def _overlap(grids: Sequence[GeoBox], left: Indices, right: Indices) -> npt.NDArray[np.bool_]:
    """Tell for each pair of grids whether footprints overlap in the CRS of the left one."""
    names = [str(grid.crs) for grid in grids]
    systems = {name: i for i, name in enumerate(dict.fromkeys(names))}
    crs_of = np.array([systems[name] for name in names], np.int64)
    count = len(grids)
    codes = np.concatenate([crs_of[left] * count + left, crs_of[left] * count + right])
    needed, place = np.unique(codes, return_inverse=True)
    crs = {systems[name]: grid.crs for name, grid in zip(names, grids, strict=True)}
    boxes = np.array(
        [bounds_in(grids[code % count], crs[code // count]) for code in needed.tolist()]
    ).reshape(-1, 4)
    a, b = boxes[place[: len(left)]], boxes[place[len(left) :]]
    sizes = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    slack = 0.01 * np.array([pixel_size(grid) for grid in grids])[left]
    return np.asarray((sizes > slack[:, None]).all(axis=1))
