"""Runs both parts of the demonstration and shows what came of them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from demiurge.cli.common import note
from demiurge.evaluation.metrics import ErrorStatistics

#: What the parts that train need, beyond the base.
_NEEDED = ("matplotlib", "earthpy", "torch", "cv2", "numba")


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
    """What a part of the demonstration made, and what to think of it."""

    title: str
    rows: list[Row]
    files: list[Path]
    verdict: str
    seconds: float


def verdict(rows: list[Row], limits: str, ours: int = 1) -> str:
    """Compare the last row with the best of those that are not ``ours``."""
    # A rival that leaves voids is judged on the easier pixels only.
    rivals = [r for r in rows[:-ours] if r.coverage > 0.999]
    best = min(rivals, key=lambda row: row.mae)
    less = 1 - rows[-1].mae / best.mae
    return f"MAE {less:.0%} below the best rival ({best.surface}). {limits}"


def run(output: Path, *, quick: bool = False) -> list[Part]:
    """Run the demonstration: all of it, or what this installation can.

    Parameters
    ----------
    output
        Folder for what is made; what an earlier demonstration left there is replaced.
    quick
        Train for a few steps only; shows that everything runs, not how well.
    """
    from demiurge.demo.sample import refine_sample

    output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    note("1/3 refine: a small stereo scene, with the bundle as shipped")
    parts = [refine_sample(output / "sample")]
    missing = [module for module in _NEEDED if find_spec(module) is None]
    if missing:
        note(
            f"2/3 and 3/3 train networks; they need {missing[0]}: "
            "pip install 'demiurge[train,simulate,demo]'"
        )
    else:
        parts += _trained(output, quick)
    summary = output / "summary.json"
    content = [{"title": p.title, "rows": [asdict(r) for r in p.rows]} for p in parts]
    summary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _show(parts, time.monotonic() - start, quick)
    return parts


def _trained(output: Path, quick: bool) -> list[Part]:
    from demiurge.demo.jacksboro import refine_jacksboro
    from demiurge.demo.rocky import generate_rocky

    note("2/3 generate: Rocky Mountain National Park, real image and real DEM")
    rocky = generate_rocky(output / "rocky", quick=quick)
    note("3/3 refine: Jacksboro fault, real DEM of 90 m under simulated stereo scenes of 1 m")
    return [rocky, refine_jacksboro(output / "jacksboro", quick=quick)]


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
        typer.echo(f"  {part.verdict}")
        for path in part.files:
            typer.echo(f"  {path}")
    if quick:
        typer.echo("Trained for a few steps only: the figures say nothing of the method.")
    typer.echo(f"Done in {seconds:.0f} s.")
