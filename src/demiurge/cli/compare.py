"""``demiurge compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli.common import Overwrite, Quiet
from demiurge.console import table

#: Heading, figure and its form.
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


def compare(
    surfaces: Annotated[
        list[str], typer.Argument(help="Heights to judge, two or more; FILE:BAND for a band.")
    ],
    reference: Annotated[str, typer.Option(help="Reference heights, e.g. lidar.")],
    allow_offset: Annotated[
        bool, typer.Option("--allow-offset", help="Go on where unit or level seem wrong.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare several surfaces with a reference, in one table, on the pixels that all have."""
    import json
    import math

    from demiurge.evaluation.compare import compare as run
    from demiurge.outputs import check_output, whole_file

    if json_file is not None:
        given = [*surfaces, reference]
        check_output(json_file, overwrite=overwrite, inputs=given, suffixes=(".json",))
    found = run(surfaces, reference, allow_offset=allow_offset)
    if json_file is not None:
        with whole_file(json_file, overwrite=overwrite) as partial:
            content = {name: figures.as_dict() for name, figures in found.items()}
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if quiet:
        return
    files = [Path(name).name for name in found]
    shown = files if len(set(files)) == len(files) else list(found)
    first = found[surfaces[0]].errors
    table(
        ("surface", *(heading for heading, _, _ in _COLUMNS), "MAE over the first"),
        [
            (
                name,
                *(form.format(figures.get(key, math.nan)) for _, key, form in _COLUMNS),
                f"{figures['mae'] / first.mae:.3f}" if first.mae else "",
            )
            for name, figures in (
                (n, f.as_dict()) for n, f in zip(shown, found.values(), strict=True)
            )
        ],
        title=f"on the {first.count} pixels that all have",
    )
