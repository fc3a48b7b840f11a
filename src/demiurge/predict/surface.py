"""Surfaces: result rasters as Cloud Optimized GeoTIFFs or virtual mosaics."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import ResourceError
from demiurge.outputs import publish
from demiurge.paths import PathLike
from demiurge.predict.heights.gcp import GcpFit
from demiurge.scene.grid import Window, wkt

#: Suffix of a virtual mosaic, and names of its blocks.
MOSAIC, BLOCK_NAMES = ".vrt", ("row*_col*_*x*.tif",)
#: Rows of a strip that is averaged at once; even.
_STRIP = 512
_COLOURS = ("red", "green", "blue")
#: GDAL's block cache in MB while it writes; the default is a share of the memory.
_CACHE = 64


@dataclass(frozen=True)
class BandInfo:
    """Name, unit and description of a band."""

    name: str
    unit: str
    about: str

    def in_metres(self) -> BandInfo:
        """Return the band with heights in metres, after a fit to ground control points."""
        return replace(self, name=self.name.replace("_relative", ""), unit="m")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a prediction reports about its result.

    Attributes
    ----------
    grid
        Grid of the result.
    bands
        Names of the bands in order: for each target its heights and, after it, their uncertainty
        (standard deviation) in ``unit``.
    unit
        ``m``, ``relative``, or ``DN`` for an imagined image.
    tags
        Origin of the result, and the options that decide it.
    seconds
        Time that prediction and writing took.
    filled
        Number of pixels with a height where the input had none.
    unknown
        Share of pixels without a height.
    uncertainty
        Mean of the first uncertainty band in ``unit``, NaN if there is none.
    memory
        Peak memory of the process in MiB.
    notes
        Sentences for the user about the inputs and the result.
    fit
        Fit of the heights to ground control points, if there are any.
    """

    grid: GeoBox
    bands: tuple[str, ...]
    unit: str = "m"
    tags: Mapping[str, str] = field(default_factory=dict)
    seconds: float
    filled: int
    unknown: float
    uncertainty: float
    memory: float
    notes: tuple[str, ...] = ()
    fit: GcpFit | None = None

    @property
    def megapixels(self) -> float:
        """Return the size in millions of pixels."""
        return float(self.grid.shape[0] * self.grid.shape[1] / 1e6)

    def _repr_html_(self) -> str:
        """Return a summary for notebooks: thumbnails, grid, bands, vertical reference, origin."""
        from demiurge.predict.show import prediction_html, thumbnails

        path: Path | None = getattr(self, "path", None)
        missing = path is not None and not path.exists()
        known = self.uncertainty == self.uncertainty
        facts = [
            ("file", "" if path is None else f"{path}{' (no longer exists)' if missing else ''}"),
            ("bands", f"{', '.join(self.bands)} in {self.unit}"),
            ("vertical reference", self.tags.get("vertical_reference", "")),
            ("mean uncertainty", f"{self.uncertainty:.3g} {self.unit}" if known else ""),
            ("no data", f"{self.unknown:.2%}; {self.filled} void pixels filled"),
            ("inputs", self.tags.get("inputs", "")),
            ("bundle", self.tags.get("bundle", "")),
            ("time", f"{self.seconds:.1f} s, peak memory {self.memory:.0f} MiB"),
        ]
        pictures = [] if path is None else thumbnails(path, self.bands, self.grid, self.unit)
        title = "Prediction" if path is None else f"Surface {path.name}"
        return prediction_html(title, self.grid, facts, dict(self.tags), self.notes, pictures)


@dataclass(frozen=True, kw_only=True)
class Surface(Prediction):
    """A prediction in a file: float32 bands, NaN for no data, at ``path``."""

    path: Path

    def plot(self, band: str | None = None, ax: Any = None) -> Any:
        """Draw a band with Matplotlib: heights hill-shaded, with colour bar, scale bar and title.

        Parameters
        ----------
        band
            Name of a band; the first one if None.
        ax
            Axes to draw in; those of a new figure if None.

        Returns
        -------
        The axes, in coordinates of the surface's CRS.

        Raises
        ------
        UsageError
            If there is no such band.
        ResourceError
            If the file no longer exists, or Matplotlib (the extra ``report``) is not installed.
        """
        from demiurge.predict.show import plot_band

        name = self.bands[0] if band is None else band
        return plot_band(self.path, self.bands, self.grid, self.unit, name, ax)

    def explore(self, *others: PathLike, height: int = 600) -> Any:
        """Show the surface in the viewer, in a notebook's frame.

        Parameters
        ----------
        others
            Further rasters to compare it with.
        height
            Height of the frame in pixels.

        Returns
        -------
        An object that a notebook shows; its ``url`` opens in any browser of this machine.

        Raises
        ------
        ResourceError
            If the file no longer exists, or the extra ``view`` is not installed.
        """
        # The viewer stands above this package; it registers itself.
        for entry in entry_points(group="demiurge.explore"):
            return entry.load()([self.path, *others], height)
        raise ResourceError("the viewer is not registered", "reinstall demiurge")


def blocks_of(path: Path) -> Path:
    """Return the folder of blocks next to a virtual mosaic."""
    return path.with_suffix(".blocks")


def finish_surface(
    path: Path,
    rows: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    tags: Mapping[str, str],
) -> None:
    """Write finished rows as a Cloud Optimized GeoTIFF, complete or not at all.

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

    partial = rows.with_name(path.name)
    try:
        overviews = halved(rows, (len(bands), *grid.shape))
        header = rows.with_suffix(".vrt")
        header.write_text(_header(rows, grid, bands, tags, overviews), encoding="utf-8")
        with rasterio.Env(GDAL_CACHEMAX=_CACHE):
            rasterio.shutil.copy(
                header,
                partial,
                driver="COG",
                compress="ZSTD",
                level=1,
                predictor="YES",
                bigtiff="IF_SAFER",
                overviews="FORCE_USE_EXISTING" if overviews else "NONE",
                num_threads="ALL_CPUS",
            )
        with rasterio.open(partial) as file:  # GDAL reports no full disk when it closes
            file.read(len(bands), window=((grid.shape[0] - 1, grid.shape[0]), (0, 1)))
        publish(partial, path)
    except (RasterioError, OSError) as error:
        partial.unlink(missing_ok=True)
        raise ResourceError(
            f"{path}: cannot be written ({error})", "check the free space and run it again"
        ) from None


def write_mosaic(
    path: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    tags: Mapping[str, str],
    files: Sequence[Path],
    areas: Sequence[Window],
) -> None:
    """Write a virtual raster of blocks in a folder next to it.

    Parameters
    ----------
    files, areas
        The blocks, and the position of each in the raster.
    """
    described = []
    for number, band in enumerate(bands, start=1):
        lines = [
            f'<VRTRasterBand dataType="Float32" band="{number}">',
            *_described(band),
            "<NoDataValue>nan</NoDataValue>",
        ]
        for file, area in zip(files, areas, strict=True):
            size = f'xSize="{area.width}" ySize="{area.height}"'
            name = escape(f"{file.parent.name}/{file.name}")
            lines += [
                "<SimpleSource>",
                f'<SourceFilename relativeToVRT="1">{name}</SourceFilename>',
                f"<SourceBand>{number}</SourceBand>",
                f'<SrcRect xOff="0" yOff="0" {size}/>',
                f'<DstRect xOff="{area.col}" yOff="{area.row}" {size}/>',
                "</SimpleSource>",
            ]
        described.append("\n".join([*lines, "</VRTRasterBand>"]))
    text = _raster((len(bands), *grid.shape), [*_place(grid, tags), *described])
    path.write_text(text, encoding="utf-8")


def halved(rows: Path, shape: tuple[int, ...]) -> list[tuple[Path, tuple[int, ...]]]:
    """Write overviews of finished rows next to them: means of 2 × 2 pixels, NaN left out.

    GDAL's own averaging takes more time than the rest of the writing.

    Parameters
    ----------
    shape
        Bands, rows and columns.

    Returns
    -------
    Files with their shapes; the last is at most 512 pixels a side.
    """
    overviews: list[tuple[Path, tuple[int, ...]]] = []
    fine = rows
    while max(shape[1:]) > 512:
        bands, height, width = shape
        coarse = rows.with_name(f"half{len(overviews) + 1}.f32")
        with fine.open("rb") as source, coarse.open("wb") as file:
            for _ in range(bands):
                for top in range(0, height, _STRIP):
                    count = min(_STRIP, height - top)
                    plane = np.fromfile(source, np.float32, count * width)
                    file.write(_halve(plane.reshape(count, width)).data)
        fine, shape = coarse, (bands, -(-height // 2), -(-width // 2))
        overviews.append((fine, shape))
    return overviews


def _halve(plane: Array) -> Array:
    """Return means of 2 × 2 pixels, NaN left out."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    parts = [plane[r::2, c::2] for r in (0, 1) for c in (0, 1)]
    mean = parts[0] + parts[1]
    mean += parts[2]
    mean += parts[3]
    mean *= np.float32(0.25)
    # Only the few means with a NaN are computed from the remaining pixels.
    partial = np.isnan(mean)
    if partial.any():
        some = np.stack([part[partial] for part in parts])
        known = np.isfinite(some)
        total = np.where(known, some, np.float32(0)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean[partial] = total / known.sum(axis=0, dtype=np.float32)
    return mean


def _header(
    rows: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    tags: Mapping[str, str],
    overviews: list[tuple[Path, tuple[int, ...]]],
) -> str:
    """Return a virtual raster of finished rows and their overviews."""
    for file, shape in overviews:
        coarse = _raster(shape, [_band(file, n + 1, shape) for n in range(len(bands))])
        file.with_suffix(".vrt").write_text(coarse, encoding="utf-8")
    shape = (len(bands), *grid.shape)
    described = []
    for number, band in enumerate(bands, start=1):
        about = [
            *_described(band),
            *(
                f'<Overview><SourceFilename relativeToVRT="1">{file.stem}.vrt</SourceFilename>'
                f"<SourceBand>{number}</SourceBand></Overview>"
                for file, _ in overviews
            ),
        ]
        described.append(_band(rows, number, shape, about))
    return _raster(shape, [*_place(grid, tags), *described])


def _place(grid: GeoBox, tags: Mapping[str, str]) -> list[str]:
    place = ", ".join(f"{v:.17g}" for v in grid.affine.to_gdal())
    return [
        f"<SRS>{escape(wkt(grid))}</SRS>",
        f"<GeoTransform>{place}</GeoTransform>",
        "<Metadata>",
        *(f"<MDI key={quoteattr(k)}>{escape(v)}</MDI>" for k, v in tags.items()),
        "</Metadata>",
    ]


def _described(band: BandInfo) -> list[str]:
    return [
        f"<Description>{escape(band.name)}</Description>",
        *([f"<ColorInterp>{band.name.title()}</ColorInterp>"] if band.name in _COLOURS else []),
        f"<UnitType>{escape(band.unit)}</UnitType>",
        f'<Metadata><MDI key="about">{escape(band.about)}</MDI></Metadata>',
    ]


def _raster(shape: tuple[int, ...], inner: list[str]) -> str:
    size = f'rasterXSize="{shape[2]}" rasterYSize="{shape[1]}"'
    return "\n".join([f"<VRTDataset {size}>", *inner, "</VRTDataset>"])


def _band(file: Path, number: int, shape: tuple[int, ...], about: Sequence[str] = ()) -> str:
    offset = 4 * (number - 1) * shape[1] * shape[2]
    return "\n".join(
        [
            f'<VRTRasterBand dataType="Float32" band="{number}" subClass="VRTRawRasterBand">',
            *about,
            "<NoDataValue>nan</NoDataValue>",
            f'<SourceFilename relativeToVRT="1">{escape(file.name)}</SourceFilename>',
            f"<ImageOffset>{offset}</ImageOffset>",
            f"<PixelOffset>4</PixelOffset><LineOffset>{4 * shape[2]}</LineOffset>",
            f"<ByteOrder>{'LSB' if sys.byteorder == 'little' else 'MSB'}</ByteOrder>",
            "</VRTRasterBand>",
        ]
    )
