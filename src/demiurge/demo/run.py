"""Runs both parts of the demonstration and shows what came of them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from demiurge.errors import missing_extra
from demiurge.evaluation.metrics import ErrorStatistics


@dataclass(frozen=True)
class Row:
    """One line of the table: a surface against the truth on ground that no model saw."""

    place: str
    surface: str
    mae: float
    rmse: float
    le90: float
    coverage: float

    @classmethod
    def of(cls, place: str, surface: str, found: ErrorStatistics) -> Row:
        """Return the line that statistics make."""
        return cls(place, surface, found.mae, found.rmse, found.le90, found.coverage)


@dataclass(frozen=True)
class Part:
    """What a part of the demonstration made; the last ``ours`` rows are not rivals."""

    title: str
    rows: list[Row]
    files: list[Path]
    limits: str
    seconds: float
    ours: int = 1


def run(output: Path, *, quick: bool = False) -> list[Part]:
    """Run the demonstration.

    Parameters
    ----------
    output
        Folder for what is made; what an earlier demonstration left there is replaced.
    quick
        Train for a few steps only; shows that everything runs, not how well.
    """
    from demiurge.cli.common import note

    for module, extra in (("matplotlib", "demo"), ("earthpy", "demo"), ("torch", "train")):
        _require(module, extra)
    from demiurge.demo.jacksboro import refine_jacksboro
    from demiurge.demo.rocky import generate_rocky

    output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    note("1/2 generate: Rocky Mountain National Park, real image and real DEM")
    parts = [generate_rocky(output / "rocky", quick=quick)]
    note("2/2 refine: Jacksboro fault, real DEM under simulated stereo scenes")
    parts.append(refine_jacksboro(output / "jacksboro", quick=quick))
    summary = output / "summary.json"
    content = [{"title": p.title, "rows": [asdict(r) for r in p.rows]} for p in parts]
    summary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _show(parts, time.monotonic() - start, quick)
    return parts


def _require(module: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise missing_extra(module, extra, "the demonstration")


def _show(parts: list[Part], seconds: float, quick: bool) -> None:
    import typer

    from demiurge.cli.common import table

    for part in parts:
        table(
            ("on unseen ground", "MAE m", "RMSE m", "LE90 m", "coverage"),
            [
                (r.surface, f"{r.mae:.3g}", f"{r.rmse:.3g}", f"{r.le90:.3g}", f"{r.coverage:.1%}")
                for r in part.rows
            ],
            title=part.title,
        )
        # A rival that leaves voids is judged on the easier pixels only.
        ours = part.rows[-1]
        rivals = [r for r in part.rows[: -part.ours] if r.coverage > 0.999]
        best = min(rivals, key=lambda row: row.mae)
        typer.echo(
            f"  MAE {1 - ours.mae / best.mae:.0%} below the best rival ({best.surface}). "
            f"{part.limits}"
        )
        for path in part.files:
            typer.echo(f"  {path}")
    if quick:
        typer.echo("Trained for a few steps only: the figures say nothing of the method.")
    typer.echo(f"Done in {seconds:.0f} s.")
