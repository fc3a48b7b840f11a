"""Comparison of several surfaces with one reference, on their common pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from demiurge.errors import DataError, UsageError
from demiurge.evaluation.align import AlignedRasters
from demiurge.evaluation.collect import collect
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.consistency import require_level, require_metres
from demiurge.evaluation.inputs import AlignedSource, common_grid, open_absolute, vertical_reference
from demiurge.evaluation.metrics import ErrorStatistics, statistics_of
from demiurge.evaluation.slopes import SlopeErrors
from demiurge.evaluation.strata import known
from demiurge.paths import PathLike
from demiurge.progress import Advance, silent
from demiurge.scene.vertical import agree


@dataclass(frozen=True)
class Compared:
    """Results for one of several surfaces.

    Attributes
    ----------
    errors
        Statistics of the height errors in metres where all surfaces and the reference have
        heights. Only the coverage refers to all pixels of the surface.
    slopes
        Errors of slope and aspect where all have slopes; None if no pixel has.
    """

    errors: ErrorStatistics
    slopes: SlopeErrors | None

    def as_dict(self) -> dict[str, float | int]:
        """Return the statistics by name; lengths in metres, angles in degrees."""
        slopes = {} if self.slopes is None else self.slopes.as_dict()
        return slopes | self.errors.as_dict()


def compare(
    surfaces: Sequence[PathLike],
    reference: PathLike,
    *,
    allow_offset: bool = False,
    advance: Advance = silent,
) -> dict[str, Compared]:
    """Compare surfaces with a reference on the grid of the first surface.

    All statistics but the coverage use the pixels where all surfaces and the reference have
    heights, so that voids in difficult places give no advantage.

    Parameters
    ----------
    surfaces
        Two or more rasters of heights in metres; ``file.tif:3`` selects the third band.
    reference
        Raster of reference heights. It and the other surfaces are resampled bilinearly.
    allow_offset
        Accept surfaces whose median error exceeds 5 m and half of their NMAD, or that seem to be
        in feet.
    advance
        Receives the number of processed megapixels.

    Returns
    -------
    Results by surface, in the order given.

    Raises
    ------
    UsageError, ResourceError, DataError
        For fewer than two surfaces, missing files, different units or vertical references, or no
        common pixel.
    """
    names = [str(path) for path in surfaces]
    if len(names) < 2:
        raise UsageError("one surface is given", "name two or more, or use demiurge evaluate")
    if len(set(names)) < len(names):
        raise UsageError("a surface is given twice", "name each once")
    sources = {
        name: open_absolute("surface", path) for name, path in zip(names, surfaces, strict=True)
    }
    truth = open_absolute("reference", reference)
    agree({s.path: vertical_reference(s) for s in (*sources.values(), truth)})
    grid = common_grid({"surface": sources[names[0]], "reference": truth})[0]
    # File names may collide with names of other columns.
    keys = {name: f"surface {number}" for number, name in enumerate(names)}
    aligned = {keys[name]: AlignedSource(source) for name, source in sources.items()}
    results: dict[str, Compared] = {}
    with Columns(int(grid.shape[0]) * int(grid.shape[1])) as columns:
        collected = collect(AlignedRasters(aligned, truth, grid), columns, advance)
        shared = np.ones(columns.count, bool)
        for key in keys.values():
            shared &= known(columns, key)
        if not collected.count or not shared.any():
            raise DataError(
                "the surfaces and the reference share no pixel with a height",
                "check their extents and no-data values",
            )
        for name, key in keys.items():
            difference = columns.read(key)
            own = statistics_of(difference, shared, columns.count)
            require_metres(collected.moments.get(key), name, truth.path, allow_offset=allow_offset)
            require_level(own, name, allow_offset=allow_offset)
            covered = float(np.isfinite(difference).sum()) / columns.count
            results[name] = Compared(replace(own, coverage=covered), collected.slopes.get(key))
    return results
