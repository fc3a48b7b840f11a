"""Heights of ICESat-2 granules: ATL06 (land ice) and ATL08 (bare earth)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, missing_extra
from demiurge.tables import PointTable

#: Suffixes of granules.
SUFFIXES = (".h5", ".hdf5")
#: Heights of both products are above the WGS 84 ellipsoid.
ELLIPSOIDAL = "EPSG:4979"
_BEAMS = tuple(f"gt{track}{side}" for track in (1, 2, 3) for side in "lr")
#: Group of a beam, its heights and, if there is one, the dataset that is 0 for good segments.
_PRODUCTS = {
    "ATL06": ("land_ice_segments", "h_li", "atl06_quality_summary"),
    "ATL08": ("land_segments", "terrain/h_te_best_fit", None),
}
#: Values from here on are fill values (3.4e38).
_FILL = 1e30


def read_icesat2(path: Path) -> PointTable:
    """Read the segments of an ATL06 or ATL08 granule.

    ATL06 gives segments of 40 m whose quality summary is 0, ATL08 the best fit of the bare earth in
    segments of 100 m.

    Returns
    -------
    Longitudes, latitudes and heights in metres above the WGS 84 ellipsoid; fill values are NaN.

    Raises
    ------
    ResourceError
        If h5py is not installed.
    DataError
        If the file cannot be read or is another product.
    """
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "icesat2", f"{path}: reading ICESat-2 granules") from None
    try:
        with h5py.File(path, "r") as file:
            for product, datasets in _PRODUCTS.items():
                beams = [b for b in _BEAMS if b in file and datasets[0] in file[b]]
                if beams:
                    return _segments(file, product, beams)
            photons = any(b in file and "heights" in file[b] for b in _BEAMS)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: is not a readable HDF5 file ({error})", "download it again"
        ) from None
    if photons:
        raise DataError(
            f"{path}: contains photons (ATL03), not heights of the ground",
            "use the ATL06 or ATL08 granule of the same track",
        )
    raise DataError(f"{path}: is not an ICESat-2 granule", "use an ATL06 or ATL08 granule")


def _segments(file: Any, product: str, beams: list[str]) -> PointTable:
    """Return the good segments of all beams of a granule."""
    group, heights, quality = _PRODUCTS[product]
    parts: list[Values] = []
    for beam in beams:
        segments = file[beam][group]
        columns = [segments[name][()] for name in ("longitude", "latitude", heights)]
        values = np.stack([np.asarray(c, np.float64) for c in columns])
        values[:, np.abs(values[2]) > _FILL] = np.nan
        if quality is not None and quality in segments:
            values = values[:, np.asarray(segments[quality][()]) == 0]
        parts.append(values)
    x, y, z = np.concatenate(parts, axis=1)
    text = f"ICESat-2 {product}: heights are above the WGS 84 ellipsoid"
    return PointTable(x, y, z, crs=ELLIPSOIDAL, notes=(text,))
