"""Surfaces: result rasters that say what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.errors import ResourceError
from demiurge.outputs import whole_file
from demiurge.scene.grid import wkt

Array = npt.NDArray[np.float32]

_BLOCK = 512


@dataclass(frozen=True)
class BandInfo:
    """What a band of a surface holds."""

    name: str
    unit: str
    about: str


@dataclass(frozen=True)
class Surface:
    """A written result.

    Attributes
    ----------
    path
        The GeoTIFF: for each target its heights and, after it, their uncertainty (standard
        deviation in metres); float32, NaN for no data.
    bands
        Names of the bands in order.
    seconds
        Time that prediction and writing took.
    filled
        Pixels that have a height where the input had none.
    unknown
        Share of pixels without a height.
    uncertainty
        Mean of the first uncertainty band in metres, NaN if there is none.
    notes
        Sentences for the user about what was done to the inputs.
    """

    path: Path
    grid: GeoBox
    bands: tuple[str, ...]
    seconds: float
    filled: int
    unknown: float
    uncertainty: float
    notes: tuple[str, ...] = ()

    @property
    def megapixels(self) -> float:
        """Return the size in millions of pixels."""
        return float(self.grid.shape[0] * self.grid.shape[1] / 1e6)


def write_surface(
    path: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    rows: Iterable[Array],
    tags: Mapping[str, str],
    *,
    overwrite: bool = False,
) -> None:
    """Write rows of a surface, as they come, to a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    rows
        float32 (bands, rows, width) from north to south, NaN for no data.

    Raises
    ------
    UsageError, ResourceError
        If the file is there already, or cannot be written.
    """
    import rasterio.shutil
    from rasterio.errors import RasterioError

    with whole_file(path, overwrite=overwrite) as partial:
        raw = partial.with_name(partial.name + ".raw")
        try:
            _write_raw(raw, grid, bands, rows, tags)
            rasterio.shutil.copy(
                raw,
                partial,
                driver="COG",
                compress="DEFLATE",
                predictor="YES",
                bigtiff="IF_SAFER",
                overview_resampling="AVERAGE",
                num_threads="ALL_CPUS",
            )
        except RasterioError as error:
            raise ResourceError(
                f"{path}: cannot be written ({error})", "check the free space"
            ) from None
        finally:
            raw.unlink(missing_ok=True)


def _write_raw(
    path: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    rows: Iterable[Array],
    tags: Mapping[str, str],
) -> None:
    """Write the rows as they come to a plain tiled GeoTIFF, from which the COG is made."""
    import rasterio

    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": len(bands),
        "height": grid.shape[0],
        "width": grid.shape[1],
        "crs": wkt(grid),
        "transform": grid.affine,
        "nodata": np.nan,
        "bigtiff": "IF_SAFER",
    }
    tiles = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    with rasterio.open(path, "w", **profile, **tiles) as dataset:
        for number, band in enumerate(bands, start=1):
            dataset.set_band_description(number, band.name)
            dataset.set_band_unit(number, band.unit)
            dataset.update_tags(number, about=band.about)
        dataset.update_tags(**tags)
        top = 0
        for part in rows:
            height = part.shape[1]
            dataset.write(part, window=((top, top + height), (0, grid.shape[1])))
            top += height
