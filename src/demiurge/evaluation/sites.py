"""Many places at once: each by itself, all pooled, and how far the figures can be trusted."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, DemiurgeError, ResourceError
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.evaluate import How, judge
from demiurge.evaluation.inputs import Opened, open_all
from demiurge.evaluation.metrics import ErrorStatistics, error_statistics
from demiurge.evaluation.result import Evaluation
from demiurge.evaluation.strata import Stratum, strata
from demiurge.progress import Advance, silent
from demiurge.scene.undeclared import NoData, for_layers
from demiurge.tables import open_geopackage

ROLES = ("surface", "reference", "baseline", "landcover", "ground", "mask")
_NEEDED = ("surface", "reference")
_NAMES = ("site", "name", "place")
_DRAWS, _LEVEL = 2000, 0.95
#: Sites below which drawing among them says nothing.
_FEWEST = 3


@dataclass(frozen=True)
class Interval:
    """A pooled figure, and where 95 % of those lie that other choices of sites would give."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sites:
    """What was found at many places.

    Attributes
    ----------
    sites
        By name.
    surface, common
        Of all pixels of all sites; as in :class:`demiurge.evaluation.result.Evaluation`, as are
        ``strata``.
    intervals
        ``mean``, ``mae``, ``rmse``, and where all sites have baselines ``mae_ratio`` and
        ``rmse_ratio``; empty for fewer than three sites.
    notes
        Sites that were left out and why, and what each evaluation had to say.
    """

    sites: Mapping[str, Evaluation]
    surface: ErrorStatistics
    common: tuple[ErrorStatistics, ErrorStatistics] | None
    strata: Mapping[str, Stratum]
    intervals: Mapping[str, Interval]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; lengths in metres."""
        found: dict[str, Any] = {"surface": self.surface.as_dict()}
        if self.common is not None:
            surface, baseline = self.common
            found["common"] = {"surface": surface.as_dict(), "baseline": baseline.as_dict()}
        found["strata"] = {name: stratum.as_dict() for name, stratum in self.strata.items()}
        found["intervals"] = {
            key: {"value": i.value, "low": i.low, "high": i.high, "level": _LEVEL}
            for key, i in self.intervals.items()
        }
        found["sites"] = {name: site.as_dict() for name, site in self.sites.items()}
        found["notes"] = list(self.notes)
        return found


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
    """Evaluate every site of a table, and all of them together.

    Parameters
    ----------
    table
        CSV file, or GeoPackage whose first table is read: one row for each site, columns
        ``surface`` and ``reference``, perhaps ``site``, ``baseline``, ``landcover``, ``ground``
        and ``mask``. Paths are taken from the table's folder.
    nodata, allow_offset, coregister, spatial, sun
        As for :func:`demiurge.evaluation.evaluate.evaluate`.

    Raises
    ------
    ResourceError, DataError
        For a table that is missing or says nothing, and if no site can be evaluated. Sites that
        cannot be are left out and named in the notes.
    """
    rows = read_table(Path(table))
    told = for_layers(nodata, {role for roles in rows.values() for role in roles})
    how = How(allow_offset, coregister, False, spatial, sun)
    found: dict[str, Evaluation] = {}
    notes: list[str] = []
    opened: dict[str, Opened] = {}
    for name, roles in rows.items():
        try:
            given = {role: values for role, values in told.items() if roles.get(role)}
            opened[name] = open_all(roles, given)
        except DemiurgeError as error:
            notes.append(_left_out(name, error))
    shares: list[float] = []
    with Columns(sum(site.pixels for site in opened.values())) as pooled:
        for name, site in opened.items():
            try:
                with Columns(site.pixels) as columns:
                    found[name] = judge(site, columns, how)
                    shares.append(columns.share)
                    pooled.extend(columns)
                notes += [f"{name}: {note}" for note in found[name].notes]
            except DemiurgeError as error:
                notes.append(_left_out(name, error))
            advance(1)
        if not found:
            raise DataError(f"{table}: no site can be evaluated; {notes[0]}")
        bare = [name for name, site in found.items() if site.baseline is None]
        if 0 < len(bare) < len(found):
            notes.append(
                f"pooled figures leave out the baselines: {len(bare)} of {len(found)} sites have "
                f"none ('{bare[0]}')"
            )
        return _together(found, shares, pooled, how, notes)


def _left_out(name: str, error: DemiurgeError) -> str:
    return f"site '{name}' is left out: {error}"


def _together(
    found: dict[str, Evaluation],
    shares: list[float],
    pooled: Columns,
    how: How,
    notes: list[str],
) -> Sites:
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
        classes = strata(pooled, how.sun)
    except DataError as error:  # land covers of all sites together may be too many
        classes = {}
        notes.append(f"no classes of all sites together: {error}")
    return Sites(
        found,
        error_statistics(surface, pooled.count),
        common,
        classes,
        intervals(list(found.values()), shares),
        tuple(notes),
    )


def intervals(
    found: list[Evaluation], shares: Sequence[float] | None = None
) -> dict[str, Interval]:
    """Draw sites with replacement, as often as there are, and pool their figures each time.

    Parameters
    ----------
    shares
        Of each site's pixels that its figures were taken from; all if None.
    """
    if len(found) < _FEWEST:
        return {}
    based = all(e.common is not None for e in found)
    pairs = [e.common if based and e.common else (e.surface, e.surface) for e in found]
    # Sums over pixels: how many, of the error, of its size, of its square; then the baseline's.
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
    drawn = sums[rng.integers(len(found), size=(_DRAWS, len(found)))].sum(axis=1)
    whole, each = _figures(sums.sum(axis=0)[None]), _figures(drawn)
    keys = ["mean", "mae", "rmse", *(["mae_ratio", "rmse_ratio"] if based else [])]
    tails = (1 - _LEVEL) / 2
    return {
        key: Interval(
            float(whole[key][0]),
            float(np.nanquantile(each[key], tails)),
            float(np.nanquantile(each[key], 1 - tails)),
        )
        for key in keys
    }


def _figures(sums: Values) -> dict[str, Values]:
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
    """Return the files of every site of a table, by site and role.

    Raises
    ------
    ResourceError
        If there is no such file.
    DataError
        If it is no table, lacks a column, or names a site twice.
    """
    if not path.exists():
        raise ResourceError(f"{path}: there is no such file", "check the path")
    rows = _geopackage(path) if path.suffix.lower() == ".gpkg" else _csv(path)
    if not rows:
        raise DataError(f"{path}: names no site", "give one row for each")
    missing = [key for key in _NEEDED if key not in rows[0]]
    if missing:
        raise DataError(
            f"{path}: has no column '{missing[0]}'",
            f"its columns are to be among: site, {', '.join(ROLES)}",
        )
    found: dict[str, dict[str, str | None]] = {}
    for number, row in enumerate(rows, start=1):
        name = next((row[key] for key in _NAMES if row.get(key)), f"site {number}")
        if name in found:
            raise DataError(f"{path}: names site '{name}' twice", "give each a name of its own")
        lacking = [key for key in _NEEDED if not row.get(key)]
        if lacking:
            raise DataError(f"{path}: site '{name}' has no {lacking[0]}", "fill in its file")
        found[name] = {role: _placed(path, row.get(role)) for role in ROLES}
    return found


def _placed(table: Path, file: str | None) -> str | None:
    """Return a file as named from the table's folder; URLs and whole paths as they are."""
    if not file:
        return None
    if "://" in file or file.startswith("/vsi"):
        return file
    return str(table.parent / file)


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            return [
                {k.strip().lower(): (v or "").strip() for k, v in row.items() if k}
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: is no CSV table", "give CSV or GeoPackage") from None


def _geopackage(path: Path) -> list[dict[str, str]]:
    try:
        with open_geopackage(path) as base:
            table = base.execute(
                "SELECT table_name FROM gpkg_contents WHERE data_type IN ('features','attributes')"
            ).fetchone()
            if table is None:
                raise DataError(f"{path}: holds no table", "give one row for each site")
            cursor = base.execute(f'SELECT * FROM "{table[0]}"')
            names = [entry[0].lower() for entry in cursor.description]
            return [
                {k: v for k, v in zip(names, row, strict=True) if isinstance(v, str)}
                for row in cursor
            ]
    except sqlite3.Error as error:
        raise DataError(f"{path}: is no GeoPackage ({error})") from None
