"""Prepare a scene folder from files: one grid, one memory-mappable stack, one fingerprint."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import PANCHROMATIC, PRIOR, Role, layer
from demiurge.outputs import atomic_folder
from demiurge.paths import PathLike, is_remote
from demiurge.progress import Advance, progress
from demiurge.scene.aligned import align_pair
from demiurge.scene.camera import Direction, PixelShift
from demiurge.scene.files import open_raster
from demiurge.scene.geoid import VerticalChange
from demiurge.scene.georeference import grid_of
from demiurge.scene.geotiff import STACK_NAME, create_stack, map_stack, release
from demiurge.scene.grid import Bounds, Window, blocks, epsg_of
from demiurge.scene.levels import heights_entry, require_levels
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.options import NoData
from demiurge.scene.referenced import declaring_grid
from demiurge.scene.scene import SIMULATION_NAME, Scene
from demiurge.scene.sensor import raw_settings
from demiurge.scene.spec import SPEC_NAME, AlignmentSpec, GridSpec, LayerSpec, SceneSpec, dump_spec
from demiurge.scene.statistics import FINGERPRINT_NAME, Statistics
from demiurge.scene.views import views_for_spec
from demiurge.threads import map_ordered

#: Side in pixels of the blocks that are copied at once.
BLOCK = 1024
#: Provenance of a scene of point clouds.
LIDAR_NAME = "lidar.json"
#: Files of a scene folder.
SCENE_FILES = (SPEC_NAME, FINGERPRINT_NAME, SIMULATION_NAME, LIDAR_NAME, STACK_NAME)


@dataclass(frozen=True)
class Origin:
    """Where the data of a scene come from, for ``scene.yaml``.

    Attributes
    ----------
    acquired
        Dates of the images; those of their metadata if empty.
    items, credits, use, alignment
        As in :class:`demiurge.scene.spec.SceneSpec`.
    """

    acquired: Sequence[dt.date] = ()
    items: Sequence[str] = ()
    credits: Sequence[str] = ()
    use: Literal["training", "validating"] | None = None
    alignment: AlignmentSpec | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields that are known."""
        named = {"acquired": sorted(set(self.acquired)), "items": list(self.items),
                 "credits": list(self.credits), "use": self.use,
                 "alignment": self.alignment}  # fmt: skip
        return {name: value for name, value in named.items() if value}


_UNKNOWN = Origin()


def prepare(
    files: Mapping[str, PathLike],
    out: PathLike,
    *,
    gsd: float | None = None,
    crs: str | None = None,
    extent: str | Bounds = "intersection",
    equalise: bool = True,
    name: str = "",
    nodata: NoData | None = None,
    view_left: Direction | None = None,
    view_right: Direction | None = None,
    sun: Direction | None = None,
    rpc: Mapping[str, PathLike] | None = None,
    adjust: bool = False,
    shift_left: PixelShift | None = None,
    left_adjust: PathLike | None = None,
    right_adjust: PathLike | None = None,
    occlusions: bool = True,
    align: PathLike | None = None,
    stable: PathLike | None = None,
    to_vertical: str | None = None,
    vertical: Mapping[str, str] | None = None,
    geoid_grid: Mapping[str, PathLike] | None = None,
    proj_network: bool | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    extra: Mapping[str, str] | None = None,
    origin: Origin = _UNKNOWN,
) -> Scene:
    """Resample files to one grid and write a scene folder.

    Parameters
    ----------
    files
        Layer name to file (``file.tif:3`` for its third band).
    out
        The folder to create.
    gsd, crs
        Pixel size in metres and CRS of the scene; those of the leading layer if None.
    extent
        ``"intersection"`` or ``"union"`` of the layers, a raster that defines the extent, or
        bounds ``(left, bottom, right, top)`` in the scene's CRS. Pixels keep the phase of the
        leading raster; with another ``gsd`` or ``crs``, edges are multiples of the pixel size.
    equalise
        Equalise the contrast of panchromatic images (see :mod:`demiurge.scene.equalise`).
    name
        Name of the scene; that of the folder if empty.
    nodata
        By layer, stored no-data values in addition to those that files declare.
    view_left, view_right, sun
        Directions from the ground to the sensor of the left image (or of the only one), of the
        right image, and to the sun; those of cameras and metadata files if None.
    rpc
        Side files of RPCs by layer, for raw images whose tags have none.
    adjust
        Shift the camera of the left raw image so that the two orthoimages coincide.
    shift_left
        Pixels (columns, rows) added to the image coordinates of the left raw image.
    left_adjust, right_adjust
        ASP's ``.adjust`` files; those next to the raw images if None.
    occlusions
        Make pixels no data that the DSM hides from the sensor of a raw image.
    align, stable
        Reference heights that the pair is moved onto, and a mask of stable ground; see
        :func:`demiurge.scene.aligned.align_pair`.
    to_vertical, vertical
        Vertical reference of the result, and those of layers whose files declare none.
    geoid_grid, proj_network
        Local geoid grids by reference (``""`` for all), and whether PROJ may download others.
    jobs
        Number of reading threads; that of the cores if None.
    overwrite
        Replace an existing scene folder.
    quiet
        Show no progress bar.
    extra
        Further text files of the folder, by name.
    origin
        Dates, items and credits of the data.

    Returns
    -------
    The prepared scene, opened.

    Raises
    ------
    UsageError
        For contradictory options.
    ResourceError, DataError
        For missing or unusable files.
    """
    raw = raw_settings(
        rpc=rpc, adjust=adjust, shift_left=shift_left, left_adjust=left_adjust,
        right_adjust=right_adjust, occlusions=occlusions,
    )  # fmt: skip
    inputs = _given(files, raw.files, geoid_grid, align, stable, extent)
    change = VerticalChange(to_vertical, vertical, geoid_grid, proj_network)
    with atomic_folder(
        Path(out), overwrite=overwrite, marker=SPEC_NAME, contents=SCENE_FILES, inputs=inputs
    ) as partial:
        scene = scene_from_files(
            files, gsd=gsd, crs=crs, extent=_extent(extent), nodata=nodata, sun=sun, raw=raw,
            name=name or Path(out).absolute().name, views=_by_layer(view_left, view_right),
            change=change if align is None else change.of_layers(),
        )  # fmt: skip
        given = gsd or crs or extent not in ("intersection", "union")
        scene, origin = _on_reference(scene, origin, align, stable, change, keep_grid=bool(given))
        fixed = scene.with_equalised() if equalise else scene
        write_scene(fixed, partial, jobs, extra, origin, quiet)
    return replace(open_scene(out), notes=_notes(scene))


def _given(
    files: Mapping[str, PathLike],
    raw: Sequence[PathLike],
    grids: Mapping[str, PathLike] | None,
    *others: object,
) -> list[PathLike]:
    """Return all files that are read."""
    paths = [other for other in others if isinstance(other, str | os.PathLike)]
    return [*files.values(), *raw, *(grids or {}).values(), *paths]


def _on_reference(
    scene: Scene,
    origin: Origin,
    align: PathLike | None,
    stable: PathLike | None,
    change: VerticalChange,
    *,
    keep_grid: bool,
) -> tuple[Scene, Origin]:
    """Move the pair onto a reference, if there is one, and record it."""
    if align is None:
        if stable is not None:
            raise UsageError("--stable is an option of --align", "add --align REFERENCE")
        return scene, origin
    moved, fit = align_pair(scene, align, stable, change, keep_grid=keep_grid)
    return moved, replace(origin, alignment=fit.spec())


def _notes(scene: Scene) -> tuple[str, ...]:
    """Return the notes on a scene and the remarks on its files."""
    remarks = [f"{n}: {text}" for n, source in scene.sources.items() for text in source.remarks]
    return (*scene.notes, *remarks)


def _by_layer(left: Direction | None, right: Direction | None) -> dict[str, Direction]:
    views = zip(PANCHROMATIC, (left, right), strict=True)
    return {name: view for name, view in views if view is not None}


def _extent(extent: str | Bounds) -> str | Bounds | GeoBox:
    if not isinstance(extent, str) or extent in ("intersection", "union"):
        return extent
    parts = extent.split(",")
    if len(parts) == 4:
        try:
            left, bottom, right, top = (float(p) for p in parts)
        except ValueError:
            raise UsageError(
                f"--extent {extent}: the bounds are not numbers",
                "write left,bottom,right,top in metres",
            ) from None
        if not (left < right and bottom < top):
            raise UsageError(
                f"--extent {extent}: the extent is empty", "write left,bottom,right,top"
            )
        return (left, bottom, right, top)
    with open_raster(extent) as dataset:
        return grid_of(extent, dataset)


def write_scene(
    scene: Scene,
    folder: Path,
    jobs: int | None,
    extra: Mapping[str, str] | None,
    origin: Origin,
    quiet: bool,
) -> None:
    """Write stack, fingerprint, ``scene.yaml`` and further text files of a scene.

    Raises
    ------
    ResourceError, DataError
        If the disk is full, a file cannot be read, a layer has no data, or layers of heights
        have different vertical references.
    """
    jobs = jobs or os.cpu_count() or 1
    require_levels(scene)
    names = list(scene.layers)
    grid = declaring_grid(scene.grid, scene.sources, scene.vertical)
    create_stack(folder / STACK_NAME, grid, names)
    total = scene.shape[0] * scene.shape[1] / 1e6
    with progress("prepare", total, quiet=quiet, unit="Mpx") as advance:
        fingerprint = _fill(scene, names, folder / STACK_NAME, jobs, advance)
    _refuse_empty(scene, fingerprint)
    text = json.dumps(fingerprint, indent=1)
    (folder / FINGERPRINT_NAME).write_text(text + "\n", encoding="utf-8")
    (folder / SPEC_NAME).write_text(dump_spec(_spec(scene, names, origin)), encoding="utf-8")
    for file, content in (extra or {}).items():
        (folder / file).write_text(content, encoding="utf-8")


def _fill(
    scene: Scene, names: list[str], path: Path, jobs: int, advance: Advance
) -> dict[str, Any]:
    """Copy the layers into the stack block by block and return the fingerprint."""
    stack = map_stack(path, writable=True)
    assert stack is not None
    statistics = {name: Statistics.of_shape(scene.shape) for name in names}
    shared = np.zeros((len(names), len(names)), np.int64)

    def copy(window: Window) -> tuple[Window, Array]:
        data = scene.read(window, names)
        stack[:, *window.slices] = data
        release(stack)
        scene.release()
        return window, data

    for window, data in map_ordered(copy, blocks(scene.shape, BLOCK), jobs, ahead=jobs):
        for name, plane in zip(names, data, strict=True):
            statistics[name].add(plane)
        here = np.isfinite(data).reshape(len(names), -1).astype(np.float32)
        shared += np.rint(here @ here.T).astype(np.int64)
        advance(window.height * window.width / 1e6)
    stack.flush()
    return _fingerprint(scene, {n: s.result() for n, s in statistics.items()}, shared)


def _fingerprint(
    scene: Scene, results: dict[str, Any], shared: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Return the fingerprint.

    Parameters
    ----------
    results
        Statistics by layer.
    shared
        int64 (layers, layers): number of pixels where both layers have data.
    """
    total = scene.shape[0] * scene.shape[1]
    names = list(results)
    base = results.get(scene.base or "")
    relief = None if not base or base["p99"] is None else base["p99"] - base["p01"]
    return {
        "format": 1,
        "pixel_size": scene.pixel_size,
        "shape": list(scene.shape),
        "crs": str(scene.grid.crs),
        "base": scene.base,
        "relief": relief,
        "layers": results,
        "overlaps": {
            a: {b: round(int(shared[i, j]) / total, 6) for j, b in enumerate(names)}
            for i, a in enumerate(names)
        },
    }


def _refuse_empty(scene: Scene, fingerprint: dict[str, Any]) -> None:
    """Raise if a stored layer has no data, or a reference layer shares no pixel with the base."""
    for name, result in fingerprint["layers"].items():
        if result["measured"] == 0 and name in scene.sources:
            raise DataError(
                f"{scene.sources[name].path}: layer '{name}' has no data within the scene",
                "check its no-data value and extent with gdalinfo -stats",
            )
    truths = [n for n in fingerprint["layers"] if layer(n).role is Role.TRUTH]
    for truth in truths:
        if scene.base and fingerprint["overlaps"][scene.base][truth] == 0:
            raise DataError(
                f"{scene.sources[truth].path}: layer '{truth}' has no pixel in common with "
                f"'{scene.base}'",
                "choose files of the same place",
            )


def _spec(scene: Scene, names: list[str], origin: Origin) -> SceneSpec:
    layers = {}
    for band, name in enumerate(names, start=1):
        entry: dict[str, Any] = {"file": STACK_NAME, "band": band}
        entry["equalised"] = name in scene.equalised
        if name in scene.sources and not scene.sources[name].detect_nodata:
            entry["nodata"] = []
        entry |= heights_entry(scene.sources[name]) if name in scene.sources else {}
        if name == PRIOR:
            source = scene.sources[name]
            entry["native"] = _grid_spec(source.native or source.grid)
        layers[name] = LayerSpec(**entry)
    span = scene.acquired()
    days = {} if span is None else {"acquired": sorted({moment.date() for moment in span})}
    return SceneSpec(
        **{**days, **origin.fields()},
        **views_for_spec(scene),
        name=scene.name,
        grid=_grid_spec(declaring_grid(scene.grid, scene.sources, scene.vertical)),
        vertical=scene.vertical,
        layers=layers,
        sources={
            name: source.path if is_remote(source.path) else Path(source.path).name
            for name, source in scene.sources.items()
        },
    )


def _grid_spec(grid: GeoBox) -> GridSpec:
    a = grid.affine
    crs: Any = grid.crs
    code = epsg_of(crs)
    return GridSpec(
        crs=f"EPSG:{code}" if code else crs.to_wkt(),
        transform=(a.a, a.b, a.c, a.d, a.e, a.f),
        height=grid.shape[0],
        width=grid.shape[1],
    )
