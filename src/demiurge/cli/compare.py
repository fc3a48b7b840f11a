"""``demiurge compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli.common import Overwrite, Quiet, table

_COLUMNS = (
    ("coverage", "{:.1%}"),
    ("median", "{:+.3f}"),
    ("mae", "{:.3f}"),
    ("rmse", "{:.3f}"),
    ("nmad", "{:.3f}"),
    ("le90", "{:.3f}"),
    ("within_1", "{:.1%}"),
)


def compare(
    surfaces: Annotated[
        list[str], typer.Argument(help="Heights to judge, two or more; FILE:BAND for a band.")
    ],
    reference: Annotated[str, typer.Option(help="Reference heights, e.g. lidar.")],
    allow_offset: Annotated[
        bool, typer.Option("--allow-offset", help="Go on at a median offset beyond 5 m.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare several surfaces with a reference, in one table, on the pixels that all have."""
    import json

    from demiurge.evaluation.compare import compare as run
    from demiurge.outputs import check_output, whole_file

    if json_file is not None:
        check_output(json_file, overwrite=overwrite)
    found = run(surfaces, reference, allow_offset=allow_offset)
    if json_file is not None:
        with whole_file(json_file, overwrite=overwrite) as partial:
            content = {name: figures.as_dict() for name, figures in found.items()}
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if quiet:
        return
    files = [Path(name).name for name in found]
    shown = files if len(set(files)) == len(files) else list(found)
    first = next(iter(found.values())).as_dict()
    table(
        ("surface", *(key.replace("_", " ") + (" m" if "%" not in form and "within" not in key
                                               else "") for key, form in _COLUMNS),
         "MAE over the first"),
        [
            (
                name,
                *(form.format(figures.as_dict()[key]) for key, form in _COLUMNS),
                f"{figures.mae / first['mae']:.3f}" if first["mae"] else "",
            )
            for name, figures in zip(shown, found.values(), strict=True)
        ],
        title=f"on the {found[surfaces[0]].count} pixels that all have",
    )  # fmt: skip
