"""Output folders of other tools, with file names and headers as the tools write them."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from conftest import LEFT, PIXEL, TOP, terrain, write_raster

SHAPE = (64, 80)
HEIGHTS = terrain(*SHAPE)
ERRORS = np.abs(np.random.default_rng(3).normal(0.5, 0.1, SHAPE)).astype(np.float32)
IMAGE = np.random.default_rng(1).integers(100, 2000, SHAPE).astype(np.uint16)
COLOURS = np.random.default_rng(2).integers(1, 255, (3, *SHAPE)).astype(np.uint8)
ASP_NODATA = float(np.float32(-3.40282347e38))


def without_georeference(path: Path, data: np.ndarray, **options: Any) -> Path:
    data = data if data.ndim == 3 else data[None]
    size = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", "GTiff", dtype=data.dtype, **size, **options) as dataset:
            dataset.write(data)
    return path


def make(folder: Path, *names: str) -> Path:
    for name in ("", *names):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def asp(folder: Path, prefix: str = "run", vector: bool = False, crs: str = "EPSG:32633") -> Path:
    make(folder)
    heights = HEIGHTS.copy()
    heights[5:9, 5:9] = ASP_NODATA
    options: dict[str, Any] = {"nodata": ASP_NODATA, "crs": crs}
    if crs == "EPSG:4326":
        options["transform"] = from_origin(15.0, 36.2, 2e-5, 2e-5)
    write_raster(folder / f"{prefix}-DEM.tif", heights, **options)
    error = np.stack([ERRORS, -ERRORS, ERRORS]) if vector else ERRORS
    write_raster(folder / f"{prefix}-IntersectionErr.tif", error, **options)
    write_raster(folder / f"{prefix}-DRG.tif", IMAGE.astype(np.float32) / 2048, **options)
    for end in ("L", "R"):
        without_georeference(folder / f"{prefix}-{end}.tif", IMAGE.astype(np.float32))
        without_georeference(folder / f"{prefix}-{end.lower()}Mask.tif", IMAGE.astype(np.uint8))
    for end, bands in (("D", 3), ("RD", 3), ("F", 3), ("PC", 4), ("GoodPixelMap", 3)):
        planes = np.zeros((bands, *SHAPE), np.float32)
        without_georeference(folder / f"{prefix}-{end}.tif", planes)
    (folder / f"{prefix}-log-stereo_tri-11-26-1200-1.txt").write_text("stereo_tri left.tif")
    return folder


def mapproject(path: Path, tagged: bool = True, dem: str = "run/run-DEM.tif") -> Path:
    write_raster(path, IMAGE.astype(np.float32), nodata=-32768)
    if tagged:
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(CAMERA_MODEL_TYPE="rpc", DEM_FILE=dem)
    return path


def cars(folder: Path, version: int = 1, filled: bool = False) -> Path:
    place = make(folder, "dsm") / "dsm" if version == 1 else make(folder)
    heights = HEIGHTS.copy()
    heights[5:9, 5:9] = -32768
    write_raster(place / "dsm.tif", heights, nodata=-32768)
    name = "image" if version == 1 else "color"
    write_raster(place / f"{name}.tif", IMAGE, nodata=65535)
    write_raster(place / "ambiguity.tif", ERRORS, nodata=-32768)
    write_raster(place / "performance_map.tif", ERRORS, nodata=-32768)
    classes = np.ones(SHAPE, np.uint8)
    if version == 1:
        write_raster(place / "classification.tif", classes, nodata=255)
    else:
        masks = np.stack([classes, 1 - classes])
        write_raster(place / "classification.tif", masks, nodata=255, names=["sea", "lake"])
    write_raster(place / "mask.tif", 0 * classes, nodata=255)
    metadata: dict[str, Any] = {"version": "1.0.0"}
    if filled:
        filling = np.ones(SHAPE, np.uint8)
        filling[20:30, 20:40], filling[5:9, 5:9] = 2, 0
        write_raster(place / "filling.tif", filling, nodata=0)
        codes = {0: "no_data", 1: "no_edition", 2: "fill_with_exogenous_dem", 6: "fill_with_geoid"}
        metadata["used_conf"] = {"output": {"auxiliary": {"filling": codes}}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def s2p(folder: Path) -> Path:
    make(folder, "tiles")
    heights = HEIGHTS.copy()
    heights[5:9, 5:9] = np.nan
    write_raster(folder / "dsm.tif", heights, nodata=np.nan)
    write_raster(folder / "confidence.tif", ERRORS, nodata=np.nan)
    write_raster(folder / "dsm-filtered.tif", HEIGHTS, nodata=np.nan)
    (folder / "config.json").write_text("{}")
    (folder / "tiles.txt").write_text("tiles/row_0000000_height_300/col_0000000_width_300/config")
    return folder


def micmac(folder: Path, units: tuple[float, float] | None = (50.0, 0.25)) -> Path:
    """Write steps 7 and 8 of Malt; metres are 0.25 × value + 50."""
    place = make(folder, "MEC-Malt", "Ortho-MEC-Malt") / "MEC-Malt"
    origin, step = units or (0.0, 1.0)
    stored = (HEIGHTS - origin) / step
    for number, zoom in ((7, 2), (8, 1)):
        stem = place / f"Z_Num{number}_DeZoom{zoom}_STD-MALT"
        without_georeference(stem.with_suffix(".tif"), stored)
        world_file(stem.with_suffix(".tfw"))
        if units is not None:
            stem.with_suffix(".xml").write_text(
                "<FileOriMnt><NameFileMnt>Z</NameFileMnt>"
                f"<OrigineAlti>{origin}</OrigineAlti><ResolutionAlti>{step}</ResolutionAlti>"
                "</FileOriMnt>"
            )
    mask = np.ones(SHAPE, np.uint8)
    mask[5:9, 5:9] = 0
    without_georeference(place / "AutoMask_STD-MALT_Num_7.tif", mask)
    without_georeference(place / "Correl_STD-MALT_Num_7.tif", 128 + mask)
    mosaic = folder / "Ortho-MEC-Malt" / "Orthophotomosaic.tif"
    without_georeference(mosaic, COLOURS, photometric="RGB")
    world_file(mosaic.with_suffix(".tfw"))
    return folder


def world_file(path: Path) -> None:
    """Write a world file: it holds the centre of the first pixel."""
    numbers = (PIXEL, 0, 0, -PIXEL, LEFT + PIXEL / 2, TOP - PIXEL / 2)
    path.write_text("\n".join(map(str, numbers)))


STRIP = "SETSM_s2s041_WV01_20140512_10200100308E4B00_1020010030A9EB00_2m_lsf_seg1"


def setsm(folder: Path, stem: str = STRIP, bitmask: bool = True) -> Path:
    make(folder)
    polar = {"crs": "EPSG:3413", "transform": from_origin(-200000, -2000000, 2, 2)}
    heights = HEIGHTS.copy()
    heights[5:9, 5:9] = -9999
    write_raster(folder / f"{stem}_dem.tif", heights, nodata=-9999, **polar)
    match = np.ones(SHAPE, np.uint8)
    match[40:50, 40:50] = 0
    write_raster(folder / f"{stem}_matchtag.tif", match, nodata=0, **polar)
    write_raster(folder / f"{stem}_ortho.tif", IMAGE.astype(np.int16), nodata=0, **polar)
    if bitmask:
        flags = np.zeros(SHAPE, np.uint8)
        flags[:2], flags[20:24, 20:24], flags[30:34, 30:34] = 1, 2, 5
        write_raster(folder / f"{stem}_bitmask.tif", flags, nodata=0, **polar)
    write_raster(folder / f"{stem}_dem_10m_shade.tif", COLOURS[0], **polar)
    (folder / f"{stem}_mdf.txt").write_text("PGC_METADATA")
    return folder


def odm(folder: Path) -> Path:
    make(folder, "odm_dem", "odm_orthophoto", "odm_georeferencing")
    for name, shift in (("dsm", 0.0), ("dtm", -3.0)):
        heights = HEIGHTS + np.float32(shift)
        heights[5:9, 5:9] = -9999
        write_raster(folder / "odm_dem" / f"{name}.tif", heights, nodata=-9999)
    rgba = np.concatenate([COLOURS, np.full((1, *SHAPE), 255, np.uint8)])
    ortho = folder / "odm_orthophoto" / "odm_orthophoto.tif"
    write_raster(ortho, rgba, photometric="RGB", alpha="YES")
    (folder / "odm_georeferencing" / "odm_georeferenced_model.laz").write_bytes(b"LASF")
    return folder


def metashape(folder: Path) -> Path:
    make(folder)
    heights = HEIGHTS.copy()
    heights[5:9, 5:9] = -32767
    write_raster(folder / "site_dem.tif", heights, nodata=-32767)
    rgba = np.concatenate([COLOURS, np.full((1, *SHAPE), 255, np.uint8)])
    write_raster(folder / "site_orthomosaic.tif", rgba, photometric="RGB", alpha="YES")
    with rasterio.open(folder / "site_orthomosaic.tif", "r+") as dataset:
        dataset.update_tags(TIFFTAG_SOFTWARE="Agisoft Metashape Professional 2.1.0")
    return folder


def earth_engine(
    folder: Path, tiled: bool = True, bands: tuple[str, ...] = ("B2", "B3", "B4", "B8")
) -> Path:
    """Write an export of Sentinel-2 with masked pixels of 0, in four tiles, and a DEM."""
    make(folder)
    planes = np.stack([IMAGE + 100 * i for i in range(len(bands))]).astype(np.uint16)
    planes[:, 5:9, 5:9] = 0
    rows, cols = (48, 48) if tiled else SHAPE
    for row in range(0, SHAPE[0], rows):
        for col in range(0, SHAPE[1], cols):
            name = f"place-{row:010d}-{col:010d}.tif" if tiled else "place.tif"
            where = from_origin(LEFT + col * 10, TOP - row * 10, 10, 10)
            part = planes[:, row : row + rows, col : col + cols]
            write_raster(folder / name, part, names=list(bands), transform=where)
    dem = terrain(22, 27)
    where = from_origin(LEFT, TOP, 30, 30)
    write_raster(folder / "glo30.tif", dem, names=["DEM"], transform=where)
    return folder
