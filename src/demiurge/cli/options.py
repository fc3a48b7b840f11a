"""Command ``options``."""

from __future__ import annotations

import json
from typing import Annotated

import click
from pydantic import Field

from demiurge.cli.build import Command, command, reference
from demiurge.cli.describe import describe, described
from demiurge.config import Flag, OptionModel
from demiurge.console import echo, table
from demiurge.errors import UsageError


class ListOptions(OptionModel):
    """Options of ``options``."""

    names: Annotated[list[str], Flag(argument=True, metavar="COMMANDS")] = Field(
        [], description="Commands to list; all if not given."
    )
    as_json: Annotated[bool, Flag(name="--json")] = Field(
        False, description="Print types, defaults, limits and choices as JSON."
    )


@command
def options(options: ListOptions) -> None:
    """List the options of commands, for programs that call them."""
    chosen = _chosen(options.names)
    if options.as_json:
        echo(json.dumps(describe(chosen), indent=1))
        return
    for name, built in chosen.items():
        table(("option", "tier", "about"), reference(built), title=name)


def _chosen(names: list[str]) -> dict[str, Command]:
    """Return the named commands, or all of them."""
    group = click.get_current_context().find_root().command
    assert isinstance(group, click.Group)
    known = described(group)
    for name in names:
        if name not in known:
            raise UsageError(f"'{name}' is no command", f"choose among {', '.join(known)}")
    return {name: known[name] for name in names} if names else known
