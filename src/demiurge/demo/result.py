"""Results of the parts of the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demiurge.evaluation.metrics import ErrorStatistics


@dataclass(frozen=True)
class Row:
    """One line of the table: errors of a surface in metres, outside the training area."""

    place: str
    surface: str
    mae: float
    rmse: float
    le90: float
    coverage: float

    @classmethod
    def of(cls, place: str, surface: str, errors: ErrorStatistics) -> Row:
        """Return the line of error statistics."""
        return cls(place, surface, errors.mae, errors.rmse, errors.le90, errors.coverage)


@dataclass(frozen=True)
class Result:
    """Results of a part of the demonstration, with a verdict."""

    title: str
    rows: list[Row]
    files: list[Path]
    verdict: str
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def verdict(rows: list[Row], limits: str, ours: int = 1) -> str:
    """Compare the last row with the best one that is not among the last ``ours`` rows.

    Rows with voids are excluded: they are evaluated on the easier pixels only.
    """
    rivals = [r for r in rows[:-ours] if r.coverage > 0.999]
    best = min(rivals, key=lambda row: row.mae)
    less = 1 - rows[-1].mae / best.mae
    compared = f"{less:.0%} below" if less >= 0 else f"{-less:.0%} above"
    return f"MAE {compared} that of the best rival ({best.surface}). {limits}"
