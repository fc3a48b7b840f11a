"""``demiurge evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demiurge.cli.common import Overwrite, Quiet, note, table

if TYPE_CHECKING:
    from demiurge.evaluation.evaluate import Evaluation


def evaluate(
    surface: Annotated[str, typer.Argument(help="Heights to judge; FILE:BAND for another band.")],
    reference: Annotated[str, typer.Option(help="Reference heights, e.g. lidar.")],
    baseline: Annotated[
        str | None, typer.Option(help="What the surface was made from, for the ratio.")
    ] = None,
    landcover: Annotated[
        str | None, typer.Option(help="Class numbers; each class gets figures of its own.")
    ] = None,
    allow_offset: Annotated[
        bool, typer.Option("--allow-offset", help="Go on at a median offset beyond 5 m.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report with pictures here.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare heights with a reference, and with a baseline."""
    import json

    from demiurge.evaluation.evaluate import evaluate as run
    from demiurge.evaluation.report import Report, require_plots
    from demiurge.outputs import check_output, whole_file

    for path in (json_file, report):
        if path is not None:
            check_output(path, overwrite=overwrite)
    if report is not None:
        require_plots()
    taker = None if report is None else Report()
    found = run(
        surface,
        reference,
        baseline=baseline,
        landcover=landcover,
        allow_offset=allow_offset,
        report=taker,
    )
    if report is not None and taker is not None:
        with whole_file(report, overwrite=overwrite) as partial:
            taker.write(partial, found)
    if json_file is not None:
        with whole_file(json_file, overwrite=overwrite) as partial:
            partial.write_text(json.dumps(found.as_dict(), indent=1) + "\n", encoding="utf-8")
    if quiet:
        return
    for text in found.notes:
        note(f"note: {text}")
    _show(found)
    _by_class(found)
    if found.doubt is not None:
        inside = ", ".join(f"{share:.1%} in the {level}" for level, share in
                           found.doubt.inside.items())  # fmt: skip
        typer.echo(
            f"uncertainty: errors lie {inside} intervals; the surest half errs "
            f"{found.doubt.surest_half:.2f} times the whole (at best {found.doubt.best_half:.2f})"
        )


def _by_class(found: Evaluation) -> None:
    rows = []
    for name, (own, other) in found.strata.items():
        row = [name, f"{own.count}", f"{own.mae:.3f}", f"{own.rmse:.3f}", f"{own.nmad:.3f}"]
        if found.common is not None:
            row += ["", ""] if other is None else [f"{other.mae:.3f}", f"{own.mae / other.mae:.3f}"]
        rows.append(row)
    extra = ("baseline MAE", "ratio") if found.common is not None else ()
    table(("class", "pixels", "MAE, m", "RMSE, m", "NMAD, m", *extra), rows)


def _show(found: Evaluation) -> None:
    from demiurge.evaluation.report import figures

    table(*figures(found))
    if found.common is None:
        return
    assert found.baseline is not None
    typer.echo(
        f"all of it: surface MAE {found.surface.mae:.3f} m over {found.surface.coverage:.1%} of "
        f"the reference, baseline {found.baseline.mae:.3f} m over {found.baseline.coverage:.1%}"
    )
