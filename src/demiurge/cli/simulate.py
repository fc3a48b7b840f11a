"""``demiurge simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demiurge.cli.common import Overwrite, Quiet


def simulate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Scene folder, or folder of several.")
    ],
    family: Annotated[
        str | None,
        typer.Option(
            help="stereo (the default): a matched pair, for refine. optical: one image, for "
            "generate."
        ),
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            help="plain, hills, forest, alpine, mixed for all in turn; stereo also town, canyon, "
            "snow; optical also arid."
        ),
    ] = "hills",
    size: Annotated[int | None, typer.Option(help="Pixels a side.")] = None,
    gsd: Annotated[
        float | None,
        typer.Option(help="Pixel size in metres: stereo 0.25 to 2, optical 10 to 30."),
    ] = None,
    terrain: Annotated[
        str | None, typer.Option(help="Elevation model in metres to use as the land.")
    ] = None,
    surface: Annotated[
        str | None, typer.Option(help="Real surface (lidar DSM) to take the pair of.")
    ] = None,
    albedo: Annotated[str | None, typer.Option(help="Image of the --surface.")] = None,
    terrain_only: Annotated[
        bool, typer.Option("--terrain-only", help="Stop at the bare earth: one layer, dtm.")
    ] = False,
    vary: Annotated[
        bool, typer.Option("--vary", help="Draw light, views, sensor and matcher for each scene.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="YAML with settings, or the simulation.yaml of a scene.")
    ] = None,
    sites: Annotated[int, typer.Option(help="Number of scenes.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is random.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make scenes with exact truth: what stereo makes of them, or one image."""
    from demiurge.config import read_yaml
    from demiurge.outputs import refuse_inputs
    from demiurge.simulation.run import simulate as run

    if config is not None and sites == 1:
        refuse_inputs([output], [config])
    content = {} if config is None else read_yaml(config, "configuration")
    content = content.get("settings", content)
    given = {"size": size, "gsd": gsd}
    content |= {key: value for key, value in given.items() if value is not None}
    folders = run(
        output,
        family=family or content.get("family", "stereo"),  # type: ignore[arg-type]  # checked there, with a sentence
        style=style,
        config=content,
        terrain=terrain,
        surface=surface,
        albedo=albedo,
        terrain_only=terrain_only,
        vary=vary,
        sites=sites,
        seed=seed,
        jobs=jobs,
        overwrite=overwrite,
        quiet=quiet,
    )
    if not quiet:
        typer.echo(f"{output}: {len(folders)} simulated scene{'s' if len(folders) > 1 else ''}")
