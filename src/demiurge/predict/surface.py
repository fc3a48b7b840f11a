"""Surfaces: result rasters that say what they are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from odc.geo.geobox import GeoBox

from demiurge.errors import ResourceError
from demiurge.scene.grid import wkt


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
    memory
        Peak memory of the process in MiB.
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
    memory: float
    notes: tuple[str, ...] = ()

    @property
    def megapixels(self) -> float:
        """Return the size in millions of pixels."""
        return float(self.grid.shape[0] * self.grid.shape[1] / 1e6)


def finish_surface(
    path: Path,
    rows: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    tags: Mapping[str, str],
) -> None:
    """Turn finished rows into a Cloud Optimized GeoTIFF under its final name.

    Parameters
    ----------
    rows
        float32 (bands, rows, columns) without a header, NaN for no data.

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    import rasterio.shutil
    from rasterio.errors import RasterioError

    header = rows.with_name("rows.vrt")
    partial = rows.with_name(path.name)
    header.write_text(_header(rows.name, grid, bands, tags), encoding="utf-8")
    try:
        rasterio.shutil.copy(
            header,
            partial,
            driver="COG",
            compress="DEFLATE",
            level=1,
            predictor="YES",
            bigtiff="IF_SAFER",
            overview_resampling="AVERAGE",
            num_threads="ALL_CPUS",
        )
        with rasterio.open(partial) as found:  # a disk that fills up while closing is not told
            found.read(len(bands), window=((grid.shape[0] - 1, grid.shape[0]), (0, 1)))
        partial.replace(path)
    except (RasterioError, OSError) as error:
        partial.unlink(missing_ok=True)
        raise ResourceError(
            f"{path}: cannot be written ({error})", "check the free space and run it again"
        ) from None


def _header(rows: str, grid: GeoBox, bands: list[BandInfo], tags: Mapping[str, str]) -> str:
    """Describe bare rows to GDAL as a virtual raster."""
    height, width = grid.shape
    place = ", ".join(f"{v:.17g}" for v in grid.affine.to_gdal())
    lines = [
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">',
        f"<SRS>{escape(wkt(grid))}</SRS>",
        f"<GeoTransform>{place}</GeoTransform>",
        "<Metadata>",
        *(f"<MDI key={quoteattr(k)}>{escape(v)}</MDI>" for k, v in tags.items()),
        "</Metadata>",
    ]
    for number, band in enumerate(bands, start=1):
        lines += [
            f'<VRTRasterBand dataType="Float32" band="{number}" subClass="VRTRawRasterBand">',
            f"<Description>{escape(band.name)}</Description>",
            f"<UnitType>{escape(band.unit)}</UnitType>",
            f'<Metadata><MDI key="about">{escape(band.about)}</MDI></Metadata>',
            "<NoDataValue>nan</NoDataValue>",
            f'<SourceFilename relativeToVRT="1">{escape(rows)}</SourceFilename>',
            f"<ImageOffset>{4 * (number - 1) * height * width}</ImageOffset>",
            f"<PixelOffset>4</PixelOffset><LineOffset>{4 * width}</LineOffset>",
            f"<ByteOrder>{'LSB' if sys.byteorder == 'little' else 'MSB'}</ByteOrder>",
            "</VRTRasterBand>",
        ]
    return "\n".join([*lines, "</VRTDataset>"])
