"""Pack real surfaces into one small file, which a training machine reads without GDAL.

``python surfaces.py DATA surfaces.npz.xz``, with DATA/NAME/{dsm,dtm}.tif and perhaps rgb.tif or
grey.tif for every place of places.py. ``--validate`` packs the places that validate instead.
"""

from __future__ import annotations

import argparse
import io
import lzma
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demiurge.raster.voids import fill_voids
from places import TRAINED, VALIDATED, Place

Array = np.ndarray

#: Heights are stored in units of 1/32 m about the median of the bare earth.
PER_METRE = 32
#: No data of stored heights.
NONE = -32768


@dataclass(frozen=True)
class Surface:
    """A place as scenes are made of it.

    Attributes
    ----------
    dsm, dtm
        float32 (rows, columns) in metres above the place's median ground, voids filled.
    void
        bool (rows, columns): where the DSM has no data.
    albedo
        float32 (rows, columns), or None without an image.
    gsd
        Pixel size in metres.
    """

    dsm: Array
    dtm: Array
    void: Array
    albedo: Array | None
    gsd: float


def pack(data: Path, places: tuple[Place, ...]) -> bytes:
    """Return the surfaces of some places, compressed."""
    arrays = {}
    for place in places:
        for key, value in _coded(place, place.folder(data)).items():
            arrays[f"{place.name}/{key}"] = value
        print(place.name, arrays[f"{place.name}/dsm"].shape, flush=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return lzma.compress(buffer.getvalue(), preset=3)


def _coded(place: Place, folder: Path) -> dict[str, Array]:
    """Return the stored form of a place; horizontal differences compress better than heights."""
    bands, gsd = _read(folder / "dsm.tif")
    dsm, dtm = bands[0], _read(folder / "dtm.tif")[0][0]
    if place.rest_judges:
        rows = len(dsm) * 2 // 3 - 200
        dsm, dtm = dsm[:rows], dtm[:rows]
    level = np.float32(np.nanmedian(dtm))
    stored = {}
    for name, heights in (("dsm", dsm), ("dtm", dtm)):
        code = np.rint((heights - level) * PER_METRE / place.step) * place.step
        code = np.where(np.isfinite(heights), np.clip(code, -32767, 32767), NONE)
        stored[name] = code.astype(np.int16)
    for name in ("grey", "rgb"):
        if (folder / f"{name}.tif").exists():
            bands = _read(folder / f"{name}.tif")[0][:3, : len(dsm)]
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
                image = np.nanmean(bands, 0)  # NaN where no band has data
            low, high = np.nanpercentile(image, (0.5, 99.5))
            grades = np.nan_to_num(np.clip((image - low) / (high - low) * 31, 0, 31))
            stored["albedo"] = grades.astype(np.uint8) * 8 + 4
    return {k: np.diff(v, axis=1, prepend=v.dtype.type(0)) for k, v in stored.items()} | {
        "gsd": np.float32(gsd)
    }


def _read(path: Path) -> tuple[Array, float]:
    """Return float32 (bands, rows, columns) with NaN for no data, and the pixel size."""
    import rasterio

    with rasterio.open(path) as file:
        return file.read(masked=True).astype(np.float32).filled(np.nan), file.transform.a


def read(path: Path) -> dict[str, Surface]:
    """Return the surfaces of a packed file by place."""
    with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as stored:
        places: dict[str, dict[str, Array]] = {}
        for key in stored.files:
            name, what = key.split("/")
            value = stored[key]
            if value.ndim == 2:
                value = np.add.accumulate(value, axis=1, dtype=value.dtype)
            places.setdefault(name, {})[what] = value
    return {name: _surface(arrays) for name, arrays in places.items()}


def _surface(arrays: dict[str, Array]) -> Surface:
    heights = {
        name: np.where(arrays[name] == NONE, np.nan, arrays[name] / np.float32(PER_METRE))
        for name in ("dsm", "dtm")
    }
    void = np.isnan(heights["dsm"])
    dsm = fill_voids(heights["dsm"].astype(np.float32))
    dtm = np.minimum(fill_voids(heights["dtm"].astype(np.float32)), dsm)
    albedo = arrays.get("albedo")
    if albedo is not None:
        albedo = albedo.astype(np.float32) / 255 * 0.5 + 0.06
    return Surface(dsm, dtm, void, albedo, float(arrays["gsd"]))


def main() -> None:
    """Pack the places from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the real surfaces")
    parser.add_argument("output", type=Path)
    parser.add_argument("--validate", action="store_true", help="the places that validate")
    given = parser.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_bytes(pack(given.data, VALIDATED if given.validate else TRAINED))
    print(f"{given.output}: {given.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
