"""Virtual rasters of conversions: tiles side by side, with mask, scale, no data and CRS."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from demiurge.errors import DataError
from demiurge.scene.recognise.found import Conversion, Mask, Tile
from demiurge.scene.recognise.listing import Header, Listing

#: GDAL's names of data types.
_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "uint64": "UInt64", "int64": "Int64", "float32": "Float32",
    "float64": "Float64",
}  # fmt: skip


def vrt_of(listing: Listing, conversion: Conversion, crs: str | None = None) -> str:
    """Return a virtual raster of a conversion.

    Parameters
    ----------
    crs
        CRS as WKT, for files that declare none.

    Raises
    ------
    DataError
        If a file cannot be read or has values of another kind than numbers.
    """
    headers = {tile: _header(listing, tile.name) for tile in conversion.tiles}
    first = conversion.tiles[0]
    col, row = min(t.col for t in conversion.tiles), min(t.row for t in conversion.tiles)
    width = max(t.col + headers[t].size[1] for t in conversion.tiles) - col
    height = max(t.row + headers[t].size[0] for t in conversion.tiles) - row
    own = headers[first]
    place = own.transform * own.transform.translation(col - first.col, row - first.row)
    moved = {Tile(t.name, t.col - col, t.row - row): headers[t] for t in conversion.tiles}
    wkt = crs if conversion.needs_crs and crs else own.crs
    inner = [
        *([f"<SRS>{escape(wkt)}</SRS>"] if wkt else []),
        f"<GeoTransform>{', '.join(f'{v:.17g}' for v in place.to_gdal())}</GeoTransform>",
        "<Metadata>",
        *(f"<MDI key={quoteattr(k)}>{escape(v)}</MDI>" for k, v in own.tags.items()),
        "</Metadata>",
        *(_band(listing.folder, conversion, moved, own, band) for band in range(1, own.bands + 1)),
        *_mask_band(listing.folder, conversion, moved),
    ]
    size = f'rasterXSize="{width}" rasterYSize="{height}"'
    return "\n".join([f"<VRTDataset {size}>", *inner, "</VRTDataset>"])


def _header(listing: Listing, name: str) -> Header:
    header = listing.header(name)
    if header is None or not set(header.dtypes) <= set(_TYPES):
        raise DataError(f"{listing.folder / name}: cannot be read", "check it with gdalinfo")
    return header


def _band(
    folder: Path, conversion: Conversion, tiles: dict[Tile, Header], own: Header, band: int
) -> str:
    """Return a band of a conversion."""
    declared = own.nodata[band - 1]
    nodata = (
        ((declared,) if declared is not None else ())
        if conversion.nodata is None
        else conversion.nodata
    )
    colour = own.colours[band - 1].title()
    kind = ' subClass="VRTDerivedRasterBand"' if conversion.zero else ""
    lines = [
        f'<VRTRasterBand dataType="{_TYPES[own.dtypes[band - 1]]}" band="{band}"{kind}>',
        f"<Description>{escape(own.descriptions[band - 1])}</Description>",
        f"<ColorInterp>{colour}</ColorInterp>",
        *(f"<NoDataValue>{value:.17g}</NoDataValue>" for value in nodata),
        *([f"<Offset>{conversion.offset:.17g}</Offset>"] if conversion.offset else []),
        *([f"<Scale>{conversion.scale:.17g}</Scale>"] if conversion.scale != 1 else []),
        *(["<PixelFunctionType>mul</PixelFunctionType>"] if conversion.zero else []),
        *(_source(folder, tile, header, str(band)) for tile, header in tiles.items()),
        *(_masks(folder, conversion.zero, tiles, one=1) if conversion.zero else []),
        "</VRTRasterBand>",
    ]
    return "\n".join(lines)


def _mask_band(folder: Path, conversion: Conversion, tiles: dict[Tile, Header]) -> list[str]:
    """Return the mask of a conversion, or that of its files."""
    if conversion.mask is not None:
        sources = _masks(folder, conversion.mask, tiles, one=255)
    elif any(header.masked for header in tiles.values()):
        sources = [_source(folder, tile, header, "mask,1") for tile, header in tiles.items()]
    else:
        return []
    band = '<VRTRasterBand dataType="Byte">'
    return ["<MaskBand>", band, *sources, "</VRTRasterBand>", "</MaskBand>"]


def _masks(folder: Path, mask: Mask, tiles: dict[Tile, Header], one: int) -> list[str]:
    """Return the source of a mask: ``one`` at valid values, else 0."""
    table = ",".join(f"{value}:{one if value in mask.valid else 0}" for value in range(256))
    size = next(iter(tiles.values())).size
    inner = _placed(folder, Tile(mask.name), size, "1")
    return [f"<ComplexSource>{inner}<LUT>{table}</LUT></ComplexSource>"]


def _source(folder: Path, tile: Tile, header: Header, band: str) -> str:
    return f"<SimpleSource>{_placed(folder, tile, header.size, band)}</SimpleSource>"


def _placed(folder: Path, tile: Tile, size: tuple[int, int], band: str) -> str:
    path = (folder / tile.name).absolute()
    extent = f'xSize="{size[1]}" ySize="{size[0]}"'
    return (
        f'<SourceFilename relativeToVRT="0">{escape(str(path))}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" {extent}/>'
        f'<DstRect xOff="{tile.col}" yOff="{tile.row}" {extent}/>'
    )
