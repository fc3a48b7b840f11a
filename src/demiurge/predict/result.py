"""The files that a finished surface becomes: raster, mosaic, point cloud, mesh, STAC item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from demiurge.errors import DemiurgeError, UsageError
from demiurge.exports.export import (
    SUFFIXES,
    check_tolerance,
    companions_of,
    kind_of,
    open_heights,
    write_export,
)
from demiurge.layers import PANCHROMATIC
from demiurge.model.bundle import Bundle, Task
from demiurge.outputs import RASTERS, check_output, require_ours, whole_file
from demiurge.predict.checkpoint import Checkpoint
from demiurge.predict.options import Options
from demiurge.predict.stac import item_path, item_text
from demiurge.predict.surface import BandInfo, finish_surface
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source

_MOSAIC = ".vrt"
#: What the folder of a mosaic's blocks may hold to be replaced.
BLOCK_NAMES = ("row*_col*_*x*.tif",)


def blocks_of(path: Path) -> Path:
    """Return the folder of blocks beside a virtual mosaic."""
    return path.with_suffix(".blocks")


def check_result(path: Path, scene: Scene, bundle: Bundle, task: Task, options: Options) -> None:
    """Raise before any work if the result could not, or must not, be written.

    Raises
    ------
    UsageError, ResourceError
        One sentence each; see :func:`demiurge.outputs.check_output`.
    """
    mosaic = path.suffix.lower() == _MOSAIC
    if mosaic and options.cluster is None:
        raise UsageError(
            f"{path}: a virtual mosaic is what --cluster makes", "name the result .tif"
        )
    companions = companions_of(path, coloured=_colours(scene) is not None)
    companions += [item_path(path)] if options.stac else []
    companions += [blocks_of(path)] if mosaic else []
    check_output(
        path,
        overwrite=options.overwrite,
        inputs=[*scene.files, bundle.path, *([options.points] if options.points else [])],
        suffixes=(*RASTERS, *([_MOSAIC] if options.cluster else []),
                  *(SUFFIXES if task != "imagine" else ())),
        companions=companions,
    )  # fmt: skip
    if mosaic:
        require_ours(blocks_of(path), "", BLOCK_NAMES)
    check_tolerance(options.thin)
    if options.thin is not None and kind_of(path) is None:
        raise UsageError(
            f"--thin has no effect on the raster {path}",
            "leave out --thin, or name the result .laz",
        )
    if options.points_crs is not None and options.points is None:
        raise UsageError("--points-crs has no effect without --points", "leave it out")


def write_result(
    path: Path,
    journal: Checkpoint,
    rows: Path,
    scene: Scene,
    bands: list[BandInfo],
    tags: Mapping[str, str],
    options: Options,
) -> tuple[str, ...]:
    """Write finished rows as what the name asks for, and the STAC item if one is wanted.

    Parameters
    ----------
    journal
        Holds the work until everything is written.
    rows
        float32 (bands, rows, columns) without a header; a mosaic has blocks instead.

    Returns
    -------
    Notes for the user.
    """
    with _item(path, scene, bands, tags, wanted=options.stac):
        if path.suffix.lower() == _MOSAIC:
            from demiurge.predict.cluster import write_blocks

            write_blocks(path, journal, scene.grid, bands, tags)
        elif kind_of(path) is None:
            finish_surface(path, rows, scene.grid, bands, tags)
        else:
            surface = journal.folder / f"{path.stem}.tif"
            finish_surface(surface, rows, scene.grid, bands, tags)
            return _export(surface, path, scene, options)
    return ()


def _export(surface: Path, path: Path, scene: Scene, options: Options) -> tuple[str, ...]:
    try:
        found = write_export(
            open_heights(surface, 1, ()),  # all of its no data is declared
            path,
            _colours(scene),
            tolerance=options.thin,
            overwrite=options.overwrite,
            quiet=options.quiet,
        )
    except DemiurgeError as error:
        kept = (
            f"the finished surface is kept: run the same command again, or: demiurge export "
            f"{surface} -o {path}"
        )
        raise type(error)(error.what, f"{error.cure}; {kept}" if error.cure else kept) from error
    return found.notes


def _colours(scene: Scene) -> list[Source] | None:
    """Return red, green and blue of the scene, or one grey band, or None."""
    colours = [scene.sources[n] for n in ("red", "green", "blue") if n in scene.sources]
    if len(colours) == 3:
        return colours
    grey = next((n for n in ("red", *PANCHROMATIC) if n in scene.sources), None)
    return None if grey is None else [scene.sources[grey]]


@contextmanager
def _item(
    path: Path, scene: Scene, bands: list[BandInfo], tags: Mapping[str, str], *, wanted: bool
) -> Iterator[None]:
    """Publish a STAC item once the surface is; its space is taken before."""
    if not wanted:
        yield
        return
    with whole_file(item_path(path), overwrite=True) as partial:
        text = item_text(path, scene.grid, bands, dict(tags), scene.acquired())
        partial.write_text(text, encoding="utf-8")
        yield
