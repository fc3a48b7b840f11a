"""Run the parts of the demonstration; print and write their statistics."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from demiurge.console import echo, note, table
from demiurge.demo.result import Result
from demiurge.demo.rocky import generate_rocky
from demiurge.demo.sample import refine_sample
from demiurge.errors import ResourceError, UsageError, missing_extra
from demiurge.outputs import atomic_file, atomic_folder, check_output, require_replaceable

#: File of a part's statistics; it marks the folder of a part.
_STATISTICS = "part.json"
#: Optional packages that training needs.
_NEEDED = ("torch", "cv2", "numba", "matplotlib")


@dataclass(frozen=True)
class Step:
    """A part to run: its description, its folder, and the permitted names in the folder."""

    about: str
    name: str
    make: Callable[[Path], Result]
    contents: Sequence[str]


def run(
    output: Path, *, learn: bool = False, quick: bool = False, overwrite: bool = False
) -> list[Result]:
    """Run the demonstration.

    Parameters
    ----------
    output
        Folder for the results, with a subfolder for each part.
    learn
        Train networks on real terrain instead of applying the shipped bundles.
    quick
        Train for a few steps only, as a test of the program.
    overwrite
        Replace the results of an earlier demonstration, and no other files.

    Raises
    ------
    UsageError
        If results exist already, or ``quick`` is set without ``learn``.
    ResourceError
        If the folder cannot be created, or an optional package is missing.
    """
    if quick and not learn:
        raise UsageError("--quick shortens training, but nothing is trained", "add --learn")
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
    _show(parts, "outside the training area" if learn else "surface")
    if quick:
        echo("Trained for a few steps only: the statistics are meaningless.")
    echo(f"Done in {time.monotonic() - start:.0f} s.")
    shown = [str(path) for part in parts for path in part.files if path.suffix == ".tif"]
    echo(f"To look at it:{'' if find_spec('titiler') else '  pip install demiurge[view]  and'}")
    echo(f"  demiurge view {shlex.join(shown)}")
    if find_spec("matplotlib") is None:
        note("to get pictures: pip install 'demiurge[report]'")
    return parts


def _applied() -> list[Step]:
    return [
        Step(
            "refine: a small stereo scene, with the shipped bundle",
            "sample",
            refine_sample,
            (_STATISTICS, "sample.png", "better.tif"),
        ),
        Step(
            "generate: Rocky Mountain National Park, real image and real DEM, with the shipped "
            "bundle",
            "rocky",
            generate_rocky,
            (_STATISTICS, "rocky.png", "east_dtm.tif", "prior_*.tif", "west", "east"),
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
            "generate: Rocky Mountain National Park, trained in the west, evaluated in the east",
            "rocky_learned",
            lambda folder: learn_rocky(folder, quick=quick),
            (_STATISTICS, "*.bundle", "rocky.png", "east_dtm.tif", "prior_*.tif", "west", "east"),
        ),
        Step(
            "refine: Jacksboro fault, real DEM of 90 m under simulated stereo scenes of 1 m",
            "jacksboro",
            lambda folder: learn_jacksboro(folder, quick=quick),
            (_STATISTICS, "*.bundle", "jacksboro.png", "*.tif", "west", "east"),
        ),
    ]


def _check(output: Path, steps: Sequence[Step], summary: Path, overwrite: bool) -> None:
    """Raise before any work if a result cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{output}: the folder cannot be created ({error.strerror})", "choose another name"
        ) from None
    check_output(summary, overwrite=overwrite)
    for step in steps:
        check_output(output / step.name, overwrite=overwrite)
        require_replaceable(output / step.name, _STATISTICS, step.contents)


def _run(step: Step, folder: Path, overwrite: bool) -> Result:
    """Run a part in a temporary folder, which gets its name when the part is complete."""
    start = time.monotonic()
    with atomic_folder(
        folder, overwrite=overwrite, marker=_STATISTICS, contents=step.contents
    ) as partial:
        part = step.make(partial)
        rows = json.dumps([asdict(row) for row in part.rows], indent=1)
        (partial / _STATISTICS).write_text(rows + "\n", encoding="utf-8")
        files = [folder / path.relative_to(partial) for path in part.files]
    return replace(part, files=files, seconds=time.monotonic() - start)


def _show(parts: list[Result], heading: str) -> None:
    for part in parts:
        table(
            (heading, "MAE m", "RMSE m", "LE90 m", "coverage"),
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
