"""Command ``compare``."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from demiurge.cli.build import command
from demiurge.console import table
from demiurge.evaluation.compare import Compared
from demiurge.evaluation.compare import compare as compare_surfaces
from demiurge.evaluation.options import CompareOptions
from demiurge.outputs import atomic_file, check_output

#: Heading, key and format of the columns.
_COLUMNS = (
    ("coverage", "coverage", "{:.1%}"),
    ("median m", "median", "{:+.3f}"),
    ("MAE m", "mae", "{:.3f}"),
    ("RMSE m", "rmse", "{:.3f}"),
    ("NMAD m", "nmad", "{:.3f}"),
    ("LE90 m", "le90", "{:.3f}"),
    ("within 1 m", "within_1", "{:.1%}"),
    ("slope MAE °", "slope_mae", "{:.2f}"),
)


@command
def compare(options: CompareOptions) -> None:
    """Compare surfaces with a reference, on the pixels they have in common."""
    surfaces, reference = options.surfaces, options.reference
    json_file, overwrite = options.json_file, options.overwrite
    if json_file is not None:
        given = [*surfaces, reference]
        check_output(json_file, overwrite=overwrite, inputs=given, suffixes=(".json",))
    figures = compare_surfaces(surfaces, reference, allow_offset=options.allow_offset)
    if json_file is not None:
        content = {name: result.as_dict() for name, result in figures.items()}
        with atomic_file(json_file, overwrite=overwrite) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if not options.quiet:
        _print(figures, os.fspath(surfaces[0]))


def _print(figures: dict[str, Compared], first: str) -> None:
    files = [Path(name).name for name in figures]
    names = files if len(set(files)) == len(files) else list(figures)
    errors = figures[first].errors
    rows = []
    for name, result in zip(names, figures.values(), strict=True):
        values = result.as_dict()
        cells = [form.format(values.get(key, math.nan)) for _, key, form in _COLUMNS]
        ratio = f"{values['mae'] / errors.mae:.3f}" if errors.mae else ""
        rows.append((name, *cells, ratio))
    table(
        ("surface", *(heading for heading, _, _ in _COLUMNS), "MAE over the first"),
        rows,
        title=f"on the {errors.count} pixels in common",
    )
