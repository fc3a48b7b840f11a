"""Point clouds with known surfaces, written as LAS, LAZ, COPC and EPT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import laspy
import numpy as np
from pyproj import CRS

LEFT, BOTTOM = 500000.0, 4000000.0


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An inclined plane in metres."""
    return 100 + 0.1 * (x - LEFT) - 0.05 * (y - BOTTOM)


def lattice(side: float, spacing: float, jitter: int | None = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of a regular lattice, moved by up to 0.3 spacings."""
    axis = np.arange(spacing / 2, side, spacing)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    if jitter is not None:
        rng = np.random.default_rng(jitter)
        x, y = (a + rng.uniform(-0.3, 0.3, a.size) * spacing for a in (x, y))
    return LEFT + x, BOTTOM + y


def header(
    crs: Any = "EPSG:32633", point_format: int = 6, scale: float = 0.001, origin: Any = None
) -> laspy.LasHeader:
    made = laspy.LasHeader(point_format=point_format, version="1.4")
    made.scales = [scale] * 3
    made.offsets = [LEFT, BOTTOM, 0] if origin is None else origin
    if crs is not None:
        made.add_crs(CRS(crs))
    return made


def cloud(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    classes: Any = 2,
    *,
    made: laspy.LasHeader | None = None,
    **fields: Any,
) -> laspy.LasData:
    data = laspy.LasData(header() if made is None else made)
    data.x, data.y, data.z = x, y, z
    data.classification = np.broadcast_to(np.asarray(classes, np.uint8), len(x))
    for name, values in fields.items():
        data[name] = np.broadcast_to(values, len(x))
    return data


def write(path: Path, data: laspy.LasData) -> Path:
    data.write(path)
    return path


def write_copc(path: Path, data: laspy.LasData, levels: int = 3) -> Path:
    """Write COPC with copclib: points are spread over the levels of an octree."""
    import copclib as copc

    data.update_header()
    low, high = np.asarray(data.header.mins), np.asarray(data.header.maxs)
    centre, half = (low + high) / 2, float((high - low).max() / 2 + 1e-3)
    config = copc.CopcConfigWriter(
        data.header.point_format.id,
        copc.Vector3(*data.header.scales),
        copc.Vector3(*data.header.offsets),
        data.header.parse_crs().to_wkt(),
    )
    config.las_header.min = copc.Vector3(*low)
    config.las_header.max = copc.Vector3(*high)
    config.copc_info.center_x, config.copc_info.center_y, config.copc_info.center_z = map(
        float, centre
    )
    config.copc_info.halfsize = half
    config.copc_info.spacing = half / 32
    writer = copc.FileWriter(str(path), config)
    level = np.arange(len(data)) % levels
    xyz = np.column_stack((data.x, data.y, data.z))
    for depth in range(levels):
        chosen = np.flatnonzero(level == depth)
        cell = ((xyz[chosen] - (centre - half)) / (2 * half) * 2**depth).astype(int)
        for key in np.unique(cell, axis=0):
            mine = chosen[(cell == key).all(axis=1)]
            points = copc.Points(config.las_header)
            for index in mine:
                point = points.CreatePoint()
                point.x, point.y, point.z = xyz[index]
                point.classification = int(data.classification[index])
                point.intensity = int(data.intensity[index])
                points.AddPoint(point)
            writer.AddNode(copc.VoxelKey(depth, *map(int, key)), points)
    writer.Close()
    return path


def write_ept(folder: Path, data: laspy.LasData, *, srs: Any = None, split: bool = True) -> Path:
    """Write EPT of LAZ tiles: a root and its children, in two pages of the hierarchy."""
    (folder / "ept-data").mkdir(parents=True)
    (folder / "ept-hierarchy").mkdir()
    data.update_header()
    low, high = np.asarray(data.header.mins), np.asarray(data.header.maxs)
    centre, half = (low + high) / 2, float((high - low).max() / 2 + 1e-3)
    corner = centre - half
    xyz = np.column_stack((data.x, data.y, data.z))
    level = np.arange(len(data)) % 2 if split else np.zeros(len(data), int)
    pages: dict[str, dict[str, int]] = {"0-0-0-0": {}}
    for depth in range(2):
        chosen = np.flatnonzero(level == depth)
        cell = ((xyz[chosen] - corner) / (2 * half) * 2**depth).astype(int)
        for key in np.unique(cell, axis=0):
            name = "-".join(map(str, (depth, *key)))
            mine = data[chosen[(cell == key).all(axis=1)]]
            mine.write(folder / "ept-data" / f"{name}.laz")
            if depth:
                pages["0-0-0-0"][name] = -1
                pages[name] = {name: len(mine)}
            else:
                pages["0-0-0-0"][name] = len(mine)
    for name, page in pages.items():
        (folder / "ept-hierarchy" / f"{name}.json").write_text(json.dumps(page))
    info = {
        "bounds": [*corner, *(corner + 2 * half)],
        "boundsConforming": [*low, *high],
        "dataType": "laszip",
        "hierarchyType": "json",
        "points": len(data),
        "schema": [{"name": n} for n in ("X", "Y", "Z", "Intensity", "Classification")],
        "span": 128,
        "srs": {"authority": "EPSG", "horizontal": "32633"} if srs is None else srs,
        "version": "1.0.0",
    }
    path = folder / "ept.json"
    path.write_text(json.dumps(info))
    return path
