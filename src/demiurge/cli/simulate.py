"""Command ``simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demiurge.cli.build import command
from demiurge.config import read_yaml
from demiurge.console import echo
from demiurge.outputs import refuse_inputs
from demiurge.simulation.options import SimulateOptions


@command
def simulate(options: SimulateOptions) -> None:
    """Simulate scenes with exact reference heights: stereo pairs or images."""
    from demiurge.simulation.run import simulate as simulate_scenes

    keywords = options.subset(SimulateOptions)
    size, gsd, file = (keywords.pop(name) for name in ("size", "gsd", "config"))
    if file is not None and options.sites == 1:
        refuse_inputs([Path(options.output)], [file])
    config: dict[str, Any] = {} if file is None else read_yaml(file, "configuration")
    config = config.get("settings", config)
    config |= {key: value for key, value in (("size", size), ("gsd", gsd)) if value is not None}
    keywords["family"] = options.family or config.get("family", "stereo")
    folders = simulate_scenes(config=config, **keywords)
    if not options.quiet:
        plural = "s" if len(folders) > 1 else ""
        echo(f"{options.output}: {len(folders)} simulated scene{plural}")
