"""Command ``evaluate``."""

from __future__ import annotations

import json
import os
from pathlib import Path

from demiurge.cli.build import command
from demiurge.console import echo, note, table
from demiurge.errors import UsageError
from demiurge.evaluation.evaluate import Evaluation
from demiurge.evaluation.evaluate import evaluate as evaluate_pair
from demiurge.evaluation.options import EvaluateOptions
from demiurge.evaluation.report import tables
from demiurge.evaluation.report.page import Report, require_plots, sites_page
from demiurge.evaluation.report.profiles import read_line
from demiurge.evaluation.sites import Sites, evaluate_sites, read_table
from demiurge.outputs import atomic_file, check_output
from demiurge.paths import split_band
from demiurge.progress import progress
from demiurge.scene.files import open_raster

#: Options that only a single pair of rasters has.
_RASTERS = ("surface", "reference", "baseline", "landcover", "ground", "mask")
_PAIR_ONLY = (*_RASTERS, "affine", "profile")
_SHARED = ("nodata", "allow_offset", "coregister", "spatial", "sun")


@command
def evaluate(options: EvaluateOptions) -> None:
    """Compare heights with a reference, and optionally with a baseline."""
    _check_outputs(options)
    result: Evaluation | Sites
    if options.sites is not None:
        if any(getattr(options, name) for name in _PAIR_ONLY):
            raise UsageError(
                "--sites names all rasters", "leave out the others, --affine and --profile"
            )
        result = _evaluate_sites(options, options.sites)
    else:
        result = _evaluate_pair(options)
    if options.json_file is not None:
        _write(options.json_file, json.dumps(result.as_dict(), indent=1) + "\n", options)


def _check_outputs(options: EvaluateOptions) -> None:
    """Raise before any work if a result cannot, or must not, be written."""
    json_file, report = options.json_file, options.report
    if json_file is None and report is None:
        return
    if json_file == report:
        raise UsageError(f"{report}: is both report and figures", "give them two names")
    inputs = [file for name in _RASTERS if (file := getattr(options, name))]
    if options.sites is not None:
        rows = read_table(options.sites).values()
        inputs = [options.sites, *(file for row in rows for file in row.values() if file)]
    for path, suffixes in ((json_file, (".json",)), (report, (".html", ".htm"))):
        if path is not None:
            check_output(path, overwrite=options.overwrite, inputs=inputs, suffixes=suffixes)


def _evaluate_pair(options: EvaluateOptions) -> Evaluation:
    if options.surface is None or options.reference is None:
        raise UsageError(
            "evaluate compares two rasters", "name a surface and --reference, or --sites"
        )
    if options.profile and options.report is None:
        raise UsageError("profiles are drawn in the report", "add --report report.html")
    report = None
    if options.report is not None:
        require_plots()
        report = Report(lines=[read_line(text) for text in options.profile])
    keywords = {name: getattr(options, name) for name in (*_RASTERS, *_SHARED, "affine")}
    megapixels = _megapixels(os.fspath(options.surface))
    with progress("evaluate", megapixels, quiet=options.quiet, unit="Mpx") as advance:
        result = evaluate_pair(**keywords, report=report, advance=advance)
    if options.report is not None and report is not None:
        _write(options.report, report.page(result), options)
    if not options.quiet:
        _print(result)
    return result


def _evaluate_sites(options: EvaluateOptions, listed: Path) -> Sites:
    if options.report is not None:
        require_plots()
    keywords = {name: getattr(options, name) for name in _SHARED}
    count = len(read_table(listed))
    with progress("evaluate", count, quiet=options.quiet, unit="sites") as advance:
        result = evaluate_sites(listed, **keywords, advance=advance)
    if options.report is not None:
        _write(options.report, sites_page(listed, result), options)
    if not options.quiet:
        for text in result.notes:
            note(f"note: {text}")
        table(*tables.sites(result))
        intervals = tables.intervals(result)
        if intervals is not None:
            table(*intervals)
        table(*tables.classes(result))
    return result


def _write(path: Path, text: str, options: EvaluateOptions) -> None:
    with atomic_file(path, overwrite=options.overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


def _megapixels(surface: str) -> float:
    """Return the approximate amount of work, for the progress bar."""
    with open_raster(split_band(surface)[0]) as dataset:
        return float(dataset.width * dataset.height / 1e6)


def _print(result: Evaluation) -> None:
    for text in result.notes:
        note(f"note: {text}")
    table(*tables.statistics(result))
    surface, baseline = result.surface, result.baseline
    if result.common is not None and baseline is not None:
        echo(
            f"all pixels: surface MAE {surface.mae:.3f} m over {surface.coverage:.1%} of the "
            f"reference, baseline {baseline.mae:.3f} m over {baseline.coverage:.1%}"
        )
    for rows in (
        tables.variants(result),
        tables.classes(result),
        tables.uncertainty(result),
        tables.spatial(result),
    ):
        if rows is not None:
            table(*rows)
