"""Several surfaces against one reference, on the pixels that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from demiurge.errors import DataError, UsageError
from demiurge.evaluation.agreement import require_level, require_metres
from demiurge.evaluation.collect import Pair, collect
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.inputs import common_grid, open_role
from demiurge.evaluation.judged import Judged
from demiurge.evaluation.metrics import ErrorStatistics, statistics_of
from demiurge.evaluation.shape import ShapeErrors
from demiurge.evaluation.strata import known
from demiurge.paths import PathLike
from demiurge.progress import Advance, silent
from demiurge.scene.vertical import agree, vertical_of


@dataclass(frozen=True)
class Compared:
    """One surface among others.

    Attributes
    ----------
    errors
        Of its heights, in metres, where all surfaces and the reference have heights; but for the
        coverage, which is its own.
    shape
        Errors of its slopes and aspects where all have slopes; None where nowhere all have.
    """

    errors: ErrorStatistics
    shape: ShapeErrors | None

    def as_dict(self) -> dict[str, float | int]:
        """Return the figures by name; lengths in metres, angles in degrees."""
        shape = {} if self.shape is None else self.shape.as_dict()
        return shape | self.errors.as_dict()


def compare(
    surfaces: Sequence[PathLike],
    reference: PathLike,
    *,
    allow_offset: bool = False,
    advance: Advance = silent,
) -> dict[str, Compared]:
    """Return what is found of each surface, on the grid of the first.

    All but the coverage is taken where all of them and the reference have heights, so that none
    looks better for leaving out what is hard.

    Parameters
    ----------
    surfaces
        Two or more rasters of heights in metres; ``file.tif:3`` for the third band.
    reference
        Likewise; warped to the first surface's grid, as the others are, bilinearly.
    allow_offset
        Go on where one lies more than 5 m and half of its NMAD from the reference at the median,
        or differs from it as feet do from metres.

    Raises
    ------
    UsageError, ResourceError, DataError
        One sentence each.
    """
    names = [str(path) for path in surfaces]
    if len(names) < 2:
        raise UsageError("one surface is given", "name two or more, or use demiurge evaluate")
    if len(set(names)) < len(names):
        raise UsageError("a surface is given twice", "name each once")
    sources = {name: open_role("surface", path) for name, path in zip(names, surfaces, strict=True)}
    truth = open_role("reference", reference)
    agree({s.path: vertical_of(s.grid.crs) for s in (*sources.values(), truth)})
    grid = common_grid({"surface": sources[names[0]], "reference": truth})[0]
    # Files may be called like what else is known of a pixel.
    keys = {name: f"surface {number}" for number, name in enumerate(names)}
    judged = {keys[name]: Judged(source) for name, source in sources.items()}
    found: dict[str, Compared] = {}
    with Columns(int(grid.shape[0]) * int(grid.shape[1])) as columns:
        gathered = collect(Pair(judged, truth, grid), columns, advance)
        shared = np.ones(columns.count, bool)
        for key in keys.values():
            shared &= known(columns, key)
        if not gathered.count or not shared.any():
            raise DataError(
                "the surfaces and the reference share no pixel with a height",
                "check their extents and no-data values",
            )
        for name, key in keys.items():
            difference = columns.read(key)
            own = statistics_of(difference, shared, columns.count)
            require_metres(gathered.moments.get(key), name, truth.path, allow_offset=allow_offset)
            require_level(own, name, allow_offset=allow_offset)
            covered = float(np.isfinite(difference).sum()) / columns.count
            found[name] = Compared(replace(own, coverage=covered), gathered.shapes.get(key))
    return found
