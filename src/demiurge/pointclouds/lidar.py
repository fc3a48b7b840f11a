"""``lidar``: point clouds to a scene with reference surface and ground."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.config import takes
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.fetching.http import Client
from demiurge.outputs import atomic_folder
from demiurge.paths import PathLike
from demiurge.pointclouds.cloud import Cloud
from demiurge.pointclouds.inputs import LidarInputs, distinct
from demiurge.pointclouds.options import LidarSettings
from demiurge.pointclouds.place import bounds_in_degrees, choose_grid_of_clouds, grid_like
from demiurge.pointclouds.rasters import Rules, write_layers
from demiurge.pointclouds.reading import Stored, Tally, store_points
from demiurge.pointclouds.services import SERVICES, bounds_to, find_tiles
from demiurge.progress import progress
from demiurge.scene.geotiff import map_stack
from demiurge.scene.grid import Bounds
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import LIDAR_NAME, SCENE_FILES, Origin, write_scene
from demiurge.scene.scene import Scene
from demiurge.scene.spec import SPEC_NAME, Vertical
from demiurge.scene.vertical import agree
from demiurge.threads import return_free_memory

#: Share of pixels without points above which a coarser pixel size is recommended.
_SPARSE = 0.3


@takes(LidarSettings, Scene, open_scene)
def lidar(
    inputs: PathLike | Sequence[PathLike],
    output: PathLike | None = None,
    *,
    options: LidarSettings,
) -> Scene:
    """Make a scene from point clouds of lidar: reference surface, ground, intensity, density.

    Layers: ``truth_dsm`` (highest point or 98th percentile by pixel, without noise and isolated
    points), ``truth_dtm`` (triangulated ground points), ``intensity`` and colours (means),
    ``point_density``, and ``valid`` (1 where ``truth_dsm`` is measured); ``truth_height`` is
    derived. Heights are metres, NaN where there is no point; nothing is extrapolated. Points are
    sorted by tile on the disk, which holds about 20 bytes for each.

    Parameters
    ----------
    inputs
        LAS, LAZ or COPC files, folders, URLs, tile indices; may be empty with ``service``.
    output
        The scene folder to create.

    Returns
    -------
    The scene, opened; its notes say what is assumed, converted or left out.

    Raises
    ------
    UsageError
        For contradictory options.
    ResourceError, DataError
        If inputs are missing, damaged, without CRS or unit, or without usable points.
    """
    if output is None:
        raise UsageError("no output is given", "name the scene folder to write")
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    path, jobs = Path(output), options.jobs or os.cpu_count() or 1
    files = [*given, *(x for x in (options.like, options.index) if x is not None)]
    with (
        atomic_folder(
            path, overwrite=options.overwrite, marker=SPEC_NAME, contents=SCENE_FILES, inputs=files
        ) as partial,
        tempfile.TemporaryDirectory(prefix=".demiurge-lidar-", dir=path.absolute().parent) as work,
    ):
        scene, report = _rasterised(given, options, Path(work), jobs, Client())
        extra = {LIDAR_NAME: json.dumps(report, indent=1, ensure_ascii=False) + "\n"}
        named = replace(scene, name=path.absolute().name)
        credits = () if options.service is None else (SERVICES[options.service].licence,)
        write_scene(named, partial, jobs, extra, Origin(credits=credits), options.quiet)
    return replace(open_scene(path), notes=scene.notes)


def _rasterised(
    given: Sequence[PathLike], options: LidarSettings, work: Path, jobs: int, client: Client
) -> tuple[Scene, dict[str, Any]]:
    """Return the scene in the working folder, and its provenance."""
    like = None if options.like is None else grid_like(options.like)
    notes, names, where = _names(given, options, like, work, client)
    clouds, remarks = _clouds(options, names, work, client)
    notes += remarks
    vertical = agree({cloud.name: cloud.frame.vertical for cloud in clouds})
    if vertical.reference == "unknown":
        notes.append("the points declare no vertical reference: that of the scene is unknown")
    grid, remarks = choose_grid_of_clouds(
        clouds, gsd=options.gsd, like=like, crs=options.crs, bounds=options.bounds, where=where
    )
    notes += remarks
    points = work / "points"
    points.mkdir()
    total = sum(cloud.points for cloud in clouds) / 1e6
    with progress("points", total, quiet=options.quiet, unit="M") as advance:
        stored = store_points(clouds, grid, points, jobs, advance)
    rules, remarks = _rules(options, stored)
    notes += [*remarks, *_notes(stored)]
    pixels = 2 * grid.shape[0] * grid.shape[1] / 1e6
    with progress("rasters", pixels, quiet=options.quiet, unit="Mpx") as advance:
        layers, removed = write_layers(
            stored.store, grid, work / "layers.tif", rules, jobs, advance
        )
    return_free_memory()
    if removed:
        notes.append(f"isolated points are dropped in {removed} pixels (see --spikes)")
    scene = _scene(work / "layers.tif", layers, grid, vertical)
    return replace(scene, notes=tuple(notes)), _report(options, clouds, stored, notes)


def _names(
    given: Sequence[PathLike],
    options: LidarSettings,
    like: GeoBox | None,
    work: Path,
    client: Client,
) -> tuple[list[str], list[str], Bounds | None]:
    """Return notes, the files to read, and the bounds in degrees, if given."""
    where = options.where
    area = where
    if area is None and like is not None:
        area = bounds_in_degrees(like)
    if area is None and options.bounds is not None and options.crs is not None:
        area = bounds_to(options.bounds, options.crs, "EPSG:4326")
    opener = LidarInputs(work, client)
    names = opener.names(given, area)
    if options.service is None:
        if not names:
            raise UsageError("no point cloud is given", "name files, or a service with --from")
        if options.index is not None:
            raise UsageError("--index needs a service", "add --from, or give the index as input")
        return [], names, where
    if area is None:
        raise UsageError("--from needs a place", "add --where W,S,E,N or --like SCENE")
    service = SERVICES[options.service]
    index = service.index if options.index is None else os.fspath(options.index)
    tiles = find_tiles(service, index, area, client, work)
    names += opener.names([tile.url for tile in tiles], area)
    return [f"{len(tiles)} tiles of {service.title} ({service.licence})"], names, where


def _clouds(
    options: LidarSettings, names: Sequence[str], work: Path, client: Client
) -> tuple[list[Cloud], list[str]]:
    """Open all files; return those with points, and notes on the others and on assumptions."""
    opener = LidarInputs(work, client, options.source_crs, options.height_unit, options.resolution)
    notes, found = [], []
    for name in names:
        try:
            cloud = opener.open(name)
        except ResourceError as error:
            # An index may list tiles that have not been flown; others must exist.
            if options.service is None or "HTTP 404" not in error.what:
                raise
            notes.append(f"{error.what}: the tile is left out")
            continue
        if cloud is None:
            notes.append(f"{name} contains no points and is left out")
        else:
            found.append(cloud)
    if not found:
        raise DataError(
            f"{names[0]}{' and the other files' if len(names) > 1 else ''}: there are no points",
            "give files with points",
        )
    clouds, copies = distinct(found)
    remarks = [note for cloud in clouds for note in cloud.frame.notes]
    return clouds, [*notes, *copies, *remarks]


def _rules(options: LidarSettings, stored: Stored) -> tuple[Rules, list[str]]:
    """Return how rasters are made, and notes on the ground points."""
    classified = stored.total.ground > 0
    if options.ground == "classes" and not classified:
        raise DataError(
            "no point has the class 2 (ground) or 9 (water)", "find them with --ground filter"
        )
    cloth = options.ground == "filter" or (options.ground == "auto" and not classified)
    notes = []
    if cloth:
        reason = "" if options.ground == "filter" else "no point has a ground class: "
        notes.append(
            f"{reason}ground points come from a cloth simulation filter, not from classes; "
            "check truth_dtm before use"
        )
    else:
        bare = [name for name, tally in stored.files.items() if tally.used and not tally.ground]
        notes += [f"{name} has no ground class: truth_dtm is void there" for name in bare]
    rules = Rules(
        options.surface == "p98", cloth, True, options.max_gap, options.spikes, options.max_height
    )
    return rules, notes


def _notes(stored: Stored) -> list[str]:
    """Return notes on points that are not used."""
    total, notes = stored.total, []
    if total.noise:
        notes.append(f"{total.noise} points are noise (classes 7 and 18) or withheld")
    for name, tally in stored.files.items():
        if tally.stray:
            notes.append(
                f"{name}: {tally.stray} points are outside the bounds of its header and are dropped"
            )
    pixels = stored.store.shape[0] * stored.store.shape[1]
    if total.used < (1 - _SPARSE) * pixels:
        notes.append(
            f"there are {total.used / pixels:.2g} points per pixel: most pixels without points "
            "are void; a coarser --gsd has fewer voids"
        )
    return notes


def _scene(path: Path, names: Sequence[str], grid: GeoBox, vertical: Vertical) -> Scene:
    """Open the layers of a GeoTIFF as a scene; all their values are kept."""
    files = {name: f"{path}:{band}" for band, name in enumerate(names, start=1)}
    scene = scene_from_files(files, nodata={name: [] for name in names})
    assert scene.shape == tuple(grid.shape)
    # Reading the mapped file leaves no copy in GDAL's cache, which grows with the raster.
    return replace(scene, vertical=vertical, _stack=map_stack(path))


def _report(
    options: LidarSettings, clouds: Sequence[Cloud], stored: Stored, notes: Sequence[str]
) -> dict[str, Any]:
    """Return the provenance of a scene."""
    chosen = options.model_dump(
        mode="json", include={"surface", "ground", "max_gap", "spikes", "max_height", "resolution"}
    )
    empty = Tally()
    return {
        "options": chosen,
        "points": asdict(stored.total),
        "files": [
            {
                "name": cloud.name,
                "declared_points": cloud.points,
                "height_factor": cloud.frame.factor,
                "vertical": str(cloud.frame.vertical),
                **asdict(stored.files.get(cloud.name, empty)),
            }
            for cloud in clouds
        ],
        "notes": list(notes),
    }
