"""Tiled inference for other programs: any readable source, any writable sink."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.model.bundle import Bundle, load_bundle
from demiurge.paths import PathLike
from demiurge.predict.job import plan
from demiurge.predict.options import Options
from demiurge.predict.pipeline import run as run_job
from demiurge.predict.sinks import WindowWriter, writer_of
from demiurge.predict.sources import WindowReader, open_source
from demiurge.predict.surface import Prediction
from demiurge.scene.scene import Scene


def run(
    source: Scene | WindowReader | PathLike | Mapping[str, Any] | Any,
    bundle: PathLike | Bundle,
    sink: PathLike | WindowWriter | Any,
    *,
    grid: GeoBox | None = None,
    gsd: float | None = None,
    nodata: Mapping[str, Sequence[float]] | None = None,
    options: Options | None = None,
) -> Prediction:
    """Apply a bundle to a source and write the result to a sink, window by window.

    Neither source nor result is held in memory. Finished rows are kept on disk until the result is
    complete: next to a sink that is a path, from where an interrupted run resumes, otherwise in a
    temporary folder.

    Parameters
    ----------
    source
        An opened scene; the path or URL of a scene or a raster; a mapping of layer to file; a
        mapping of layer to array (rows, columns); an xarray Dataset whose variables are layers, or
        a DataArray of one layer, which are read and checked as files are unless ``grid`` or
        ``gsd`` is given; any :class:`WindowReader`.
    bundle
        A bundle, its file, or the name of a shipped one.
    sink
        The path of a GeoTIFF (``.tif``) or a Zarr store (``.zarr``); an array (bands, rows,
        columns) such as of NumPy, memory-mapped or of Zarr; any :class:`WindowWriter`. The bands
        are the heights of each target and, after each, its uncertainty.
    grid, gsd
        Grid of arrays without georeference, or the pixel size in metres if they have none.
    nodata
        Values that are no data, by layer.

    Returns
    -------
    Bands, grid and counts of the result; a :class:`Surface` with its path if the sink is a path.

    Raises
    ------
    UsageError, ResourceError, DataError
        For options, sources and sinks that do not fit.
    """
    bundle, options = load_bundle(bundle), options or Options()
    scene = open_source(source, bundle, grid=grid, gsd=gsd, nodata=nodata)
    output = Path(sink) if isinstance(sink, str | os.PathLike) else writer_of(sink)
    return run_job(plan(scene, bundle, bundle.card.task, output, options))
