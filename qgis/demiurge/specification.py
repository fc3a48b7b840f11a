"""What an installed demiurge says about its commands: the output of ``demiurge options --json``.

This module, ``command`` and ``mapping`` need no QGIS.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

#: Form of the description that this plugin reads.
FORMAT = 1


@dataclass(frozen=True)
class Option:
    """One option of a command, as demiurge describes it (docs/reference/commands.md)."""

    name: str
    option: str
    off: str
    kind: str
    positional: bool
    required: bool
    repeatable: bool
    default: Any
    limits: dict
    choices: list
    suffixes: list
    metavar: str
    help: str
    tier: str


@dataclass(frozen=True)
class Layer:
    """One layer of a scene."""

    name: str
    kind: str
    role: str
    about: str


@dataclass(frozen=True)
class CommandCard:
    """A command: its one-line summary, its help and its options."""

    name: str
    summary: str
    help: str
    options: tuple


@dataclass(frozen=True)
class Specification:
    """Commands and layers of one version of demiurge."""

    version: str
    layers: tuple
    commands: dict


def parse(content: dict) -> Specification:
    """Read the description; keys that a newer demiurge adds are ignored.

    Raises ``ValueError`` for another form.
    """
    if content.get("format") != FORMAT:
        raise ValueError(f"the form is {content.get('format')}, not {FORMAT}")
    return Specification(
        version=content["version"],
        layers=tuple(_known(Layer, layer) for layer in content["layers"]),
        commands={
            name: CommandCard(
                name=name,
                summary=card["summary"],
                help=card["help"],
                options=tuple(_known(Option, option) for option in card["options"]),
            )
            for name, card in content["commands"].items()
        },
    )


def _known(kind: type, content: dict) -> Any:
    return kind(**{field.name: content[field.name] for field in fields(kind)})
