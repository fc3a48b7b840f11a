"""Evaluation of many sites: each site, all sites pooled, and intervals over sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, DemiurgeError, ResourceError
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate_inputs
from demiurge.evaluation.inputs import Inputs, open_inputs
from demiurge.evaluation.intervals import Interval
from demiurge.evaluation.metrics import ErrorStatistics, error_statistics
from demiurge.evaluation.strata import Stratum, strata
from demiurge.progress import Advance, silent
from demiurge.scene.options import NoData
from demiurge.scene.undeclared import for_layers
from demiurge.tables import read_records

ROLES = ("surface", "reference", "baseline", "landcover", "ground", "mask")
_NEEDED = ("surface", "reference")
_NAMES = ("site", "name", "place")
#: Bootstrap samples, and confidence level.
_DRAWS, _LEVEL = 2000, 0.95
#: Least number of sites for intervals.
_FEWEST = 3


@dataclass(frozen=True)
class Sites:
    """Results of many sites.

    Attributes
    ----------
    sites
        Results by site.
    surface, common, strata
        Statistics over all pixels of all sites; see
        :class:`demiurge.evaluation.evaluate.Evaluation`.
    intervals
        Bootstrap intervals over sites of ``mean``, ``mae``, ``rmse`` and, if all sites have
        baselines, ``mae_ratio`` and ``rmse_ratio``; empty for fewer than three sites.
    notes
        Skipped sites with reasons, and the notes of each site.
    """

    sites: Mapping[str, Evaluation]
    surface: ErrorStatistics
    common: tuple[ErrorStatistics, ErrorStatistics] | None
    strata: Mapping[str, Stratum]
    intervals: Mapping[str, Interval]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; lengths in metres."""
        content: dict[str, Any] = {"surface": self.surface.as_dict()}
        if self.common is not None:
            surface, baseline = self.common
            content["common"] = {"surface": surface.as_dict(), "baseline": baseline.as_dict()}
        content["strata"] = {name: stratum.as_dict() for name, stratum in self.strata.items()}
        content["intervals"] = {
            key: {"value": i.value, "low": i.low, "high": i.high, "level": _LEVEL}
            for key, i in self.intervals.items()
        }
        content["sites"] = {name: site.as_dict() for name, site in self.sites.items()}
        content["notes"] = list(self.notes)
        return content


def evaluate_sites(
    table: str | Path,
    *,
    nodata: NoData | None = None,
    allow_offset: bool = False,
    coregister: bool = False,
    spatial: bool = False,
    sun: float | None = None,
    advance: Advance = silent,
) -> Sites:
    """Evaluate every site of a table, and all sites pooled.

    Parameters
    ----------
    table
        CSV file, or GeoPackage whose first table is read: one row for each site, columns
        ``surface`` and ``reference``, optionally ``site``, ``baseline``, ``landcover``,
        ``ground`` and ``mask``. Paths are relative to the table's folder.
    nodata, allow_offset, coregister, spatial, sun
        As for :func:`demiurge.evaluation.evaluate.evaluate`.
    advance
        Receives 1 for each finished site.

    Raises
    ------
    ResourceError, DataError
        For a missing or incomplete table, or if no site can be evaluated. Sites that fail are
        skipped and listed in the notes.
    """
    rows = read_table(Path(table))
    values = for_layers(nodata, {role for roles in rows.values() for role in roles})
    options = EvaluationOptions(allow_offset, coregister, False, spatial, sun)
    results: dict[str, Evaluation] = {}
    notes: list[str] = []
    opened: dict[str, Inputs] = {}
    for name, roles in rows.items():
        try:
            given = {role: v for role, v in values.items() if roles.get(role)}
            opened[name] = open_inputs(roles, given)
        except DemiurgeError as error:
            notes.append(_skipped(name, error))
    shares: list[float] = []
    with Columns(sum(site.pixels for site in opened.values())) as pooled:
        for name, site in opened.items():
            try:
                with Columns(site.pixels) as columns:
                    results[name] = evaluate_inputs(site, columns, options)
                    shares.append(columns.share)
                    pooled.extend(columns)
                notes += [f"{name}: {note}" for note in results[name].notes]
            except DemiurgeError as error:
                notes.append(_skipped(name, error))
            advance(1)
        if not results:
            raise DataError(f"{table}: no site can be evaluated; {notes[0]}")
        bare = [name for name, site in results.items() if site.baseline is None]
        if 0 < len(bare) < len(results):
            notes.append(
                f"pooled statistics exclude the baselines: {len(bare)} of {len(results)} sites "
                f"have none ('{bare[0]}')"
            )
        return _pool(results, shares, pooled, options, notes)


def _skipped(name: str, error: DemiurgeError) -> str:
    return f"site '{name}' is skipped: {error}"


def _pool(
    results: dict[str, Evaluation],
    shares: list[float],
    pooled: Columns,
    options: EvaluationOptions,
    notes: list[str],
) -> Sites:
    """Return the results of all sites together."""
    surface = pooled.read("surface")
    common = None
    if "baseline" in pooled.names:
        baseline = pooled.read("baseline")
        both = np.isfinite(surface) & np.isfinite(baseline)
        common = (
            error_statistics(surface[both], pooled.count),
            error_statistics(baseline[both], pooled.count),
        )
    try:
        classes = strata(pooled, options.sun)
    except DataError as error:  # the sites together may have too many land covers
        classes = {}
        notes.append(f"no classes of the pooled sites: {error}")
    return Sites(
        results,
        error_statistics(surface, pooled.count),
        common,
        classes,
        site_intervals(list(results.values()), shares),
        tuple(notes),
    )


def site_intervals(
    results: list[Evaluation], shares: Sequence[float] | None = None
) -> dict[str, Interval]:
    """Return 95 % intervals of pooled statistics by a bootstrap over sites.

    Parameters
    ----------
    results
        Results of the sites.
    shares
        By site, the fraction of its pixels that its statistics use; 1 if None.

    Returns
    -------
    Intervals by statistic; empty for fewer than three sites.
    """
    if len(results) < _FEWEST:
        return {}
    based = all(e.common is not None for e in results)
    pairs = [e.common if based and e.common else (e.surface, e.surface) for e in results]
    # Sums over pixels: count, error, absolute error, squared error; the baseline's last two.
    sums = np.array(
        [
            [a.count, a.mean * a.count, a.mae * a.count, a.rmse**2 * a.count,
             b.mae * b.count, b.rmse**2 * b.count]
            for a, b in pairs
        ]
    )  # fmt: skip
    if shares is not None:
        sums /= np.array(shares)[:, None]
    rng = np.random.default_rng(0)
    drawn = sums[rng.integers(len(results), size=(_DRAWS, len(results)))].sum(axis=1)
    pooled, samples = _statistics(sums.sum(axis=0)[None]), _statistics(drawn)
    keys = ["mean", "mae", "rmse", *(["mae_ratio", "rmse_ratio"] if based else [])]
    tails = (1 - _LEVEL) / 2
    return {
        key: Interval(
            float(pooled[key][0]),
            float(np.nanquantile(samples[key], tails)),
            float(np.nanquantile(samples[key], 1 - tails)),
        )
        for key in keys
    }


def _statistics(sums: Values) -> dict[str, Values]:
    n, total, size, square, other, other_square = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "mean": total / n,
            "mae": size / n,
            "rmse": np.sqrt(square / n),
            "mae_ratio": size / other,
            "rmse_ratio": np.sqrt(square / other_square),
        }


def read_table(path: Path) -> dict[str, dict[str, str | None]]:
    """Read the files of every site of a table, by site and role.

    Raises
    ------
    ResourceError
        If the table does not exist.
    DataError
        If it is not a table, lacks a column, or repeats a site.
    """
    if not path.exists():
        raise ResourceError(f"{path}: there is no such file", "check the path")
    rows = read_records(path)
    if not rows:
        raise DataError(f"{path}: names no site", "write one row for each site")
    missing = [key for key in _NEEDED if key not in rows[0]]
    if missing:
        raise DataError(
            f"{path}: has no column '{missing[0]}'",
            f"its columns may be: site, {', '.join(ROLES)}",
        )
    sites: dict[str, dict[str, str | None]] = {}
    for number, row in enumerate(rows, start=1):
        name = next((row[key] for key in _NAMES if row.get(key)), f"site {number}")
        if name in sites:
            raise DataError(f"{path}: names site '{name}' twice", "give each site its own name")
        lacking = [key for key in _NEEDED if not row.get(key)]
        if lacking:
            raise DataError(f"{path}: site '{name}' has no {lacking[0]}", "fill in its file")
        sites[name] = {role: _resolved(path, row.get(role)) for role in ROLES}
    return sites


def _resolved(table: Path, file: str | None) -> str | None:
    """Resolve a path against the table's folder; URLs and absolute paths stay unchanged."""
    if not file:
        return None
    if "://" in file or file.startswith("/vsi"):
        return file
    return str(table.parent / file)
