"""Run the parts of the demonstration, and print and keep their figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from demiurge.console import echo, note, table
from demiurge.errors import ResourceError, UsageError, missing_extra
from demiurge.evaluation.metrics import ErrorStatistics
from demiurge.outputs import atomic_file, atomic_folder, check_output, require_replaceable

#: The figures of a part; they mark its folder.
_FIGURES = "part.json"
#: What training needs beyond the base.
_NEEDED = ("torch", "cv2", "numba", "matplotlib")


@dataclass(frozen=True)
class Row:
    """One line of the table: a surface against the truth, on ground that was not learned from."""

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
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    """A part that can be run: what it says first, its folder and what that may hold."""

    about: str
    name: str
    make: Callable[[Path], Part]
    contents: Sequence[str]


def verdict(rows: list[Row], limits: str, ours: int = 1) -> str:
    """Compare the last row with the best of those that are not ``ours``."""
    # A rival that leaves voids is judged on the easier pixels only.
    rivals = [r for r in rows[:-ours] if r.coverage > 0.999]
    best = min(rivals, key=lambda row: row.mae)
    less = 1 - rows[-1].mae / best.mae
    compared = f"{less:.0%} below" if less >= 0 else f"{-less:.0%} above"
    return f"MAE {compared} that of the best rival ({best.surface}). {limits}"


def run(
    output: Path, *, learn: bool = False, quick: bool = False, overwrite: bool = False
) -> list[Part]:
    """Run the demonstration.

    Parameters
    ----------
    output
        Folder for what is made, a folder for each part.
    learn
        Train networks on real terrain, instead of applying the bundles that ship.
    quick
        Train for a few steps only; shows that everything runs, not how well.
    overwrite
        Replace what an earlier demonstration left there, and nothing else.

    Raises
    ------
    UsageError
        If something is there already, or ``quick`` is set without ``learn``.
    ResourceError
        If the folder cannot be made, or an extra is missing.
    """
    if quick and not learn:
        raise UsageError("--quick shortens training, and nothing is trained", "add --learn")
    steps, summary = (_learned(quick), "learned.json") if learn else (_applied(), "summary.json")
    _check(output, steps, output / summary, overwrite)
    start = time.monotonic()
    parts = []
    for number, step in enumerate(steps, 1):
        note(f"{number}/{len(steps)} {step.about}")
        parts.append(_run(step, output / step.name, overwrite))
    content = [{"title": p.title, "rows": [asdict(r) for r in p.rows]} for p in parts]
    with atomic_file(output / summary, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _show(parts, time.monotonic() - start, quick)
    if find_spec("matplotlib") is None:
        note("for pictures of both: pip install 'demiurge[report]'")
    return parts


def _applied() -> list[Step]:
    from demiurge.demo.rocky import generate_rocky
    from demiurge.demo.sample import refine_sample

    return [
        Step(
            "refine: a small stereo scene, with the bundle that ships",
            "sample",
            refine_sample,
            (_FIGURES, "sample.png", "better.tif"),
        ),
        Step(
            "generate: Rocky Mountain National Park, real image and real DEM, with the bundle "
            "that ships",
            "rocky",
            generate_rocky,
            (_FIGURES, "rocky.png", "east_dtm.tif", "prior_*.tif", "west", "east"),
        ),
    ]


def _learned(quick: bool) -> list[Step]:
    for module in _NEEDED:
        if find_spec(module) is None:
            raise missing_extra(module, "train,simulate,report", "--learn")
    from demiurge.demo.jacksboro import learn_jacksboro
    from demiurge.demo.learn import learn_rocky

    return [
        Step(
            "generate: Rocky Mountain National Park, learned in the west, judged in the east",
            "rocky_learned",
            lambda folder: learn_rocky(folder, quick=quick),
            (_FIGURES, "*.bundle", "rocky.png", "east_dtm.tif", "prior_*.tif", "west", "east"),
        ),
        Step(
            "refine: Jacksboro fault, real DEM of 90 m under simulated stereo scenes of 1 m",
            "jacksboro",
            lambda folder: learn_jacksboro(folder, quick=quick),
            (_FIGURES, "*.bundle", "jacksboro.png", "*.tif", "west", "east"),
        ),
    ]


def _check(output: Path, steps: Sequence[Step], summary: Path, overwrite: bool) -> None:
    """Raise before any work if a result could not be put there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{output}: no folder can be made there ({error.strerror})", "choose another name"
        ) from None
    check_output(summary, overwrite=overwrite)
    for step in steps:
        check_output(output / step.name, overwrite=overwrite)
        require_replaceable(output / step.name, _FIGURES, step.contents)


def _run(step: Step, folder: Path, overwrite: bool) -> Part:
    """Run a part in a hidden folder, which gets its name when all is there."""
    start = time.monotonic()
    with atomic_folder(
        folder, overwrite=overwrite, marker=_FIGURES, contents=step.contents
    ) as partial:
        part = step.make(partial)
        rows = json.dumps([asdict(row) for row in part.rows], indent=1)
        (partial / _FIGURES).write_text(rows + "\n", encoding="utf-8")
        files = [folder / path.relative_to(partial) for path in part.files]
    return replace(part, files=files, seconds=time.monotonic() - start)


def _show(parts: list[Part], seconds: float, quick: bool) -> None:
    for part in parts:
        table(
            ("on unseen ground", "MAE m", "RMSE m", "LE90 m", "coverage"),
            [
                (r.surface, f"{r.mae:.3g}", f"{r.rmse:.3g}", f"{r.le90:.3g}", f"{r.coverage:.1%}")
                for r in part.rows
            ],
            title=part.title,
        )
        echo(f"  {part.verdict}")
        for text in part.notes:
            echo(f"  note: {text}")
        for path in part.files:
            echo(f"  {path}")
    if quick:
        echo("Trained for a few steps only: the figures say nothing of the method.")
    echo(f"Done in {seconds:.0f} s.")
