"""Simulated satellite cameras with known geometry."""

from __future__ import annotations

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.rpc import RPC

from demiurge.scene.camera import Camera, to_geographic

#: A grid of 1 m in UTM zone 33 north.
CRS = "EPSG:32633"


def grid_of(rows: int = 96, cols: int = 128, gsd: float = 1.0) -> GeoBox:
    return GeoBox((rows, cols), Affine(gsd, 0, 500_000, 0, -gsd, 5_000_000), CRS)


def affine_camera(
    grid: GeoBox, displacement: tuple[float, float], gsd: float = 0.5, height: float = 100.0
) -> Camera:
    """Return an RPC camera that sees the map's plane at ``height`` north-up.

    The pixel ``(0, 0)`` of the image is the grid's corner, pixels are of ``gsd`` metres, and a
    metre of height moves a point by ``displacement`` metres (east, north). The map is so small
    that longitude and latitude are taken as linear in it; tests compare on that basis.
    """
    a = grid.affine
    x0, y0 = a.c, a.f
    width, depth = grid.shape[1] * a.a, grid.shape[0] * -a.e
    points = np.array([[x0, y0], [x0 + width, y0], [x0, y0 - depth]])
    lon, lat = to_geographic(grid, points[:, 0], points[:, 1])
    # Metres east and south of the corner from longitude and latitude.
    jacobian = np.array(
        [
            [(lon[1] - lon[0]) / width, (lon[2] - lon[0]) / depth],
            [(lat[1] - lat[0]) / width, (lat[2] - lat[0]) / depth],
        ]
    )
    inverse = np.linalg.inv(jacobian)
    # row = (south - north displacement · (h - height)) / gsd - 0.5, as RPCs count centres.
    row = [0.0] * 20
    col = [0.0] * 20
    scale = 0.01
    # Terms: 1, longitude, latitude, height (in units of the scales).
    col[1], col[2] = inverse[0, 0] * scale / gsd, inverse[0, 1] * scale / gsd
    row[1], row[2] = inverse[1, 0] * scale / gsd, inverse[1, 1] * scale / gsd
    east, north = displacement
    col[3], row[3] = east * 500 / gsd, -north * 500 / gsd
    one = [1.0] + [0.0] * 19
    return Camera(
        RPC(
            height_off=height,
            height_scale=500.0,
            lat_off=float(lat[0]),
            lat_scale=scale,
            long_off=float(lon[0]),
            long_scale=scale,
            line_off=-0.5,
            line_scale=1.0,
            samp_off=-0.5,
            samp_scale=1.0,
            line_num_coeff=row,
            line_den_coeff=one,
            samp_num_coeff=col,
            samp_den_coeff=one,
            err_bias=None,
            err_rand=None,
        )
    )
