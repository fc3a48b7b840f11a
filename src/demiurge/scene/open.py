"""Open a scene from a prepared folder, a ``scene.yaml`` or files, and choose its grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.errors import ConfigError, DataError, ResourceError, UsageError
from demiurge.layers import Kind, Role, layer
from demiurge.paths import PathLike, RasterLike, is_remote, is_there, local_file
from demiurge.scene.arrays import as_path
from demiurge.scene.camera import Direction
from demiurge.scene.crs import TRUE_SCALE, WORST_SCALE, ground_scale, is_degrees, parse_crs
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import (
    bounds_in,
    ground_pixel,
    is_plain,
    metric_crs,
    scale_of,
    source_window,
    utm_of,
)
from demiurge.scene.geoid import VerticalChange
from demiurge.scene.geotiff import map_stack
from demiurge.scene.grid import (
    Bounds,
    cropped_grid,
    crs_name,
    intersection,
    is_metric,
    north_up,
    same_grid,
    snapped_grid,
    union,
    window_grid,
)
from demiurge.scene.options import NoData
from demiurge.scene.raw import file_sources, orthorectified
from demiurge.scene.referenced import shared_reference, with_references
from demiurge.scene.scene import Scene
from demiurge.scene.sensor import RawSettings
from demiurge.scene.source import Source
from demiurge.scene.spec import SPEC_NAME, SceneSpec, grid_of_spec, load_spec
from demiurge.scene.statistics import load_fingerprint
from demiurge.scene.undeclared import for_layers
from demiurge.scene.views import collect_views, views_of_spec


def open_scene(path: PathLike, *, nodata: NoData | None = None) -> Scene:
    """Open a scene folder or its ``scene.yaml``.

    Parameters
    ----------
    nodata
        By layer, stored no-data values in addition to those that files declare.

    Raises
    ------
    ResourceError, ConfigError, DataError
        If the scene does not exist, its ``scene.yaml`` is invalid, or a file cannot be used.
    """
    file = _spec_file(path)
    spec = load_spec(file)
    folder = file.parent
    given = for_layers(nodata, spec.layers)
    with ExitStack() as files:
        opened: dict[str, Any] = {}  # each file is opened once for all its layers
        sources = _spec_sources(spec, file, given, opened, files)
        grid = _spec_grid(spec, file) or choose_grid(sources)[0]
        stack = _stack_of(sources, grid, opened)
    vertical = spec.vertical
    if vertical.reference == "unknown":
        vertical = shared_reference(sources)
    fingerprint = load_fingerprint(folder)
    return Scene(
        name=spec.name or folder.resolve().name,
        grid=grid,
        sources=sources,
        vertical=vertical,
        folder=folder,
        equalised=frozenset(n for n, entry in spec.layers.items() if entry.equalised),
        spec=spec,
        views=views_of_spec(spec, str(file)),
        sun=spec.sun,
        _stack=stack,
        _statistics=dict(fingerprint.get("layers", {})),
    )


def _spec_file(path: PathLike) -> Path:
    """Return the ``scene.yaml`` of a scene folder, or the file itself."""
    file = Path(path)
    if file.is_dir():
        file /= SPEC_NAME
        if not file.exists():
            raise ResourceError(
                f"{path}: is not a scene, because it contains no {SPEC_NAME}",
                "create one with: demiurge prepare",
            )
    elif file.exists() and file.suffix.lower() not in (".yaml", ".yml"):
        raise DataError(f"{path}: is not a scene", f"name a folder with a {SPEC_NAME}")
    return file


def _spec_sources(
    spec: SceneSpec, spec_file: Path, nodata: NoData, opened: dict[str, Any], files: ExitStack
) -> dict[str, Source]:
    """Open the layers of a ``scene.yaml``.

    Parameters
    ----------
    opened
        Filled with the open datasets by file.
    files
        Closes them.
    """
    sources = {}
    for name, entry in spec.layers.items():
        file = str(spec_file.parent / entry.file)
        file = entry.file if is_remote(entry.file) and not is_there(file) else file
        if file not in opened:
            opened[file] = files.enter_context(open_raster(file))
        source = Source.open(
            file,
            layer(name),
            entry.band,
            nodata=nodata.get(name, entry.nodata),
            opened=opened[file],
        )
        if entry.native is not None:
            where = f"{spec_file}: layers.{name}.native"
            source = replace(source, native=grid_of_spec(entry.native, where))
        sources[name] = source
    return sources


def scene_from_files(
    files: Mapping[str, RasterLike],
    *,
    gsd: float | None = None,
    crs: str | None = None,
    extent: str | Bounds | GeoBox | None = None,
    name: str = "",
    local: float | None = None,
    nodata: NoData | None = None,
    views: Mapping[str, Direction] | None = None,
    sun: Direction | None = None,
    raw: RawSettings | None = None,
    change: VerticalChange | None = None,
) -> Scene:
    """Open files as a scene, without writing a folder.

    Parameters
    ----------
    files
        Layer name to file: ``file.tif:3`` for its third band, ``file.tif`` for the band
        described as the layer; or a DataArray of xarray. Any CRS, pixel size and extent.
    gsd
        Pixel size in metres; that of the leading layer if None.
    crs
        CRS of the scene; if None, that of the leading layer if it is in metres, else its UTM
        zone.
    extent
        ``"intersection"`` or ``"union"`` of all layers, bounds in the scene's CRS, a grid that
        defines the extent, or None for the extent of the leading layer (and its grid, if it is
        north-up in metres and neither ``gsd`` nor ``crs`` is given).
    name
        Name of the scene; that of the leading layer's file if empty.
    local
        Pixel size in metres of files without georeference, which then get a local frame; None
        raises an error.
    nodata
        By layer, stored no-data values in addition to those that files declare; an empty list
        for no others. Layers not named are searched for such values.
    views, sun
        Directions to the sensor by layer, and to the sun; those of cameras and metadata if None.
    raw
        Side files and corrections of raw images.
    change
        Vertical references to declare and to transform to.

    Raises
    ------
    UsageError, ResourceError, DataError
        For unknown layers, missing or unusable files, and layers that do not overlap.
    """
    if not files:
        raise UsageError("no layer is given", "name at least one as LAYER=FILE")
    raw = raw or RawSettings()
    paths = {layer: as_path(file, layer) for layer, file in files.items()}
    sources, raws = file_sources(paths, local, for_layers(nodata, files), raw)
    _refuse_image_as_heights(sources)
    grid, notes = choose_grid(sources, gsd=gsd, crs=crs, extent=extent)
    if change is not None and change.given:
        sources, grid, added = with_references(sources, grid, change)
        notes = [*notes, *added]
    cameras: dict[str, Direction] = {}
    if raws:
        orthos, remarks = orthorectified(raws, sources["dsm"], grid, shared_reference(sources), raw)
        sources, notes = {**sources, **orthos}, [*notes, *remarks]
        cameras = {n: ortho.view for n, ortho in orthos.items()}
    _check_overlap(sources, grid)
    lead = sources[_leading(sources)]
    known = collect_views(sources, grid, cameras, views or {}, sun)
    return Scene(
        name=name or Path(lead.path).stem.strip("<>"),
        grid=grid,
        sources=sources,
        vertical=shared_reference(sources),
        notes=(*notes, *known.notes),
        views=known.views,
        sun=known.sun,
    )


def choose_grid(
    sources: Mapping[str, Source],
    *,
    gsd: float | None = None,
    crs: str | None = None,
    extent: str | Bounds | GeoBox | None = None,
) -> tuple[GeoBox, list[str]]:
    """Choose the grid of a scene; see :func:`scene_from_files` for the rules.

    Returns
    -------
    The grid, and notes on conversions.

    Raises
    ------
    UsageError, DataError
        If the CRS or extent is invalid, or the layers do not overlap.
    """
    name = _leading(sources)
    lead = sources[name]
    if gsd is None and crs is None and extent is None and is_plain(lead.grid):
        return lead.grid, []
    target, notes = _target_crs(lead, crs)
    boxes = {n: _box(source.grid, target, lead.grid) for n, source in sources.items()}
    if isinstance(extent, GeoBox):
        box = bounds_in(extent, target)
    elif extent is None:
        box = boxes[name]
    elif isinstance(extent, str):
        box = _named_extent(extent, boxes, sources)
    else:
        box = extent
    inward = extent == "intersection"
    upright = north_up(lead.grid) if lead.grid.crs == target else None
    if upright is not None and (gsd is None or math.isclose(gsd, upright.affine.a, rel_tol=1e-6)):
        return cropped_grid(upright, box, inward=inward), notes
    if gsd is None:
        gsd = _natural_gsd(lead.grid, target)
        notes.append(f"the pixel size is {gsd:g} m, derived from {lead.path}")
    return snapped_grid(box, target, gsd, inward=inward), notes


def _target_crs(lead: Source, crs: str | None) -> tuple[Any, list[str]]:
    """Return the CRS of a scene with a leading layer, and notes on it."""
    grid, name = lead.grid, crs_name(lead.grid.crs)
    if crs is not None:
        return _chosen_crs(crs, grid)
    target = metric_crs(grid)
    if target == grid.crs:
        return target, []
    reason = f"{lead.path} is in {name}"
    if is_metric(grid.crs):
        reason += f", whose metre is {1 / scale_of(grid):.3g} m on the ground there"
    return target, [f"{reason}: reprojected to {crs_name(target)}"]


def _chosen_crs(text: str, grid: GeoBox) -> tuple[Any, list[str]]:
    from odc.geo.crs import CRS

    target = CRS(parse_crs(text))
    if not is_metric(target):
        raise UsageError(f"{crs_name(target)} is not projected in metres", "choose a UTM zone")
    left, bottom, right, top = bounds_in(grid, target)
    scale = ground_scale((left + right) / 2, (bottom + top) / 2, target)
    note = f"a metre of {crs_name(target)} is {1 / scale:.3g} m on the ground there"
    if abs(math.log(scale)) > math.log1p(WORST_SCALE):
        raise UsageError(note, f"choose for example {crs_name(utm_of(grid))}")
    return target, [note] if abs(math.log(scale)) > math.log1p(TRUE_SCALE) else []


def _leading(sources: Mapping[str, Source]) -> str:
    """Return the layer that defines the grid: the DSM, else the finest image, else the first."""
    if "dsm" in sources:
        return "dsm"
    images = [n for n in sources if layer(n).kind is Kind.IMAGE]
    if images:
        return min(images, key=lambda n: ground_pixel(sources[n].grid))  # the first of equals
    inputs = [n for n in sources if layer(n).role is Role.INPUT]
    return (inputs or list(sources))[0]


#: Width in degrees of longitude above which only the part of a grid near the lead is projected.
_WIDE = 60.0


def _box(grid: GeoBox, target: Any, lead: GeoBox) -> Bounds:
    """Return bounds in another CRS; of a wide grid, those of the part near the leading grid."""
    if is_degrees(grid.crs) and abs(grid.affine.a) * grid.shape[1] > _WIDE:
        near = source_window(grid, lead, margin=8)
        if near is not None and abs(grid.affine.a) * near.width < _WIDE:
            grid = window_grid(grid, near)
        else:
            return bounds_in(lead, target)
    return bounds_in(grid, target)


def _named_extent(extent: str, boxes: dict[str, Bounds], sources: Mapping[str, Source]) -> Bounds:
    if extent == "union":
        return union(list(boxes.values()))
    if extent != "intersection":
        raise UsageError(f"--extent is '{extent}'", "use intersection, union, bounds or a raster")
    shared = intersection(list(boxes.values()))
    if shared is None:
        first, second = _disjoint(boxes)
        raise DataError(
            f"{sources[first].path} ({first}) and {sources[second].path} ({second}) do not overlap",
            "check their CRS and extents with gdalinfo",
        )
    return shared


def _disjoint(boxes: dict[str, Bounds]) -> tuple[str, str]:
    """Return the first two layers that are disjoint."""
    names = list(boxes)
    pairs = ((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
    disjoint = (pair for pair in pairs if intersection([boxes[pair[0]], boxes[pair[1]]]) is None)
    return next(disjoint, (names[0], names[-1]))


def _refuse_image_as_heights(sources: Mapping[str, Source]) -> None:
    """Raise if the same band is given as heights and as an image."""
    images = {(_identity(s), s.band): n for n, s in sources.items() if s.layer.kind is Kind.IMAGE}
    for name, source in sources.items():
        if source.layer.kind is not Kind.HEIGHT:
            continue
        image = images.get((_identity(source), source.band))
        if image is not None:
            raise UsageError(
                f"{source.path}: band {source.band} is given as '{image}' and as '{name}'",
                "name the file with heights",
            )


def _identity(source: Source) -> str:
    file = local_file(source.path)
    return source.path if file is None or file.name not in source.path else str(file.resolve())


def _check_overlap(sources: Mapping[str, Source], grid: GeoBox) -> None:
    for name, source in sources.items():
        if source_window(source.grid, grid) is None:
            raise DataError(
                f"{source.path}: layer '{name}' does not overlap the scene",
                "check its CRS and extent with gdalinfo",
            )


def _natural_gsd(grid: GeoBox, target: Any) -> float:
    """Return the size of a grid's central pixel in another CRS, to 3 digits."""
    if grid.crs == target:
        return float(f"{math.sqrt(abs(grid.affine.determinant)):.6g}")
    return float(f"{ground_pixel(grid, target):.3g}")


def _spec_grid(spec: SceneSpec, path: Path) -> GeoBox | None:
    if spec.grid is None:
        return None
    grid = grid_of_spec(spec.grid, f"{path}: grid")
    if not is_plain(grid, WORST_SCALE):
        raise ConfigError(
            f"{path}: grid: is not north-up with square pixels in metres on the ground",
            "prepare the scene from its files instead",
        )
    return grid


def _stack_of(sources: Mapping[str, Source], grid: GeoBox, opened: Mapping[str, Any]) -> Any:
    """Map the layers into memory if one file on the scene's grid contains all of them."""
    paths = {source.path for source in sources.values()}
    path = next(iter(paths))
    one_file = len(paths) == 1 and not is_remote(path)
    if not one_file or not all(same_grid(s.grid, grid) for s in sources.values()):
        return None
    if any(source.dirty or source.vector for source in sources.values()):
        return None
    return map_stack(Path(path), opened=opened.get(path))
