"""Description of commands and options as plain data, for programs that build forms from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import click
from pydantic.fields import FieldInfo

from demiurge.cli.build import Command, default_of, is_many, is_path, opposite
from demiurge.config import choices_of, flag_of, option_name, plain_type
from demiurge.layers import LAYERS, Role

#: Version of the form of the description; raised if a key changes its meaning or is removed.
FORMAT = 1
_LIMITS = ("ge", "gt", "le", "lt", "multiple_of")
#: Kinds of texts by their placeholder: a CRS; bounds in degrees.
_BY_METAVAR = {"CRS": "crs", "W,S,E,N": "bounds"}
#: Kinds of types that are not paths.
_KINDS = {bool: "boolean", int: "integer", float: "number"}


@dataclass(frozen=True)
class OptionCard:
    """One option or argument of a command.

    Attributes
    ----------
    name
        Name of the field in Python.
    option
        Name on the command line; an argument is in capitals.
    off
        Switch that turns off an option whose default is true; else empty.
    kind
        ``boolean``, ``integer``, ``number``, ``choice``, ``text``, ``crs``, ``bounds`` (in
        degrees), or what a path names (:data:`demiurge.config.PathKind`).
    positional, required, repeatable
        Whether it is an argument, must be given, may be given several times.
    default
        Default of the command line; None if there is none.
    limits
        Limits of a number by ``ge``, ``gt``, ``le``, ``lt`` and ``multiple_of``.
    choices
        Permitted values; any if empty.
    suffixes
        Suffixes of a file that the command writes, ``/`` for a folder; empty for other options.
    metavar
        Placeholder of the value, such as ``LAYER=VALUE``.
    help, tier
        Description; ``option`` or ``expert``.
    """

    name: str
    option: str
    off: str
    kind: str
    positional: bool
    required: bool
    repeatable: bool
    default: Any
    limits: dict[str, float]
    choices: tuple[Any, ...]
    suffixes: tuple[str, ...]
    metavar: str
    help: str
    tier: str


def describe(commands: dict[str, Command]) -> dict[str, Any]:
    """Return the version, the layers and the options of commands as plain data."""
    from demiurge._version import __version__

    inputs = [x for x in LAYERS.values() if x.role is not Role.AUXILIARY]
    return {
        "format": FORMAT,
        "version": __version__,
        "layers": [
            {"name": x.name, "kind": str(x.kind), "role": str(x.role), "about": x.about}
            for x in inputs
        ],
        "commands": {name: describe_command(built) for name, built in commands.items()},
    }


def describe_command(built: Command) -> dict[str, Any]:
    """Return summary, help and options of a command: arguments and required options first."""
    text = built.help or ""
    order = [p.name for p in built.params if p.name is not None]
    cards = [describe_option(name, built.fields[name]) for name in order]
    return {
        "summary": text.partition("\n")[0],
        "help": text,
        "options": [asdict(card) for card in cards],
    }


def describe_option(field: str, info: FieldInfo) -> OptionCard:
    """Return the description of a field."""
    flag, default = flag_of(info), default_of(info)
    name = option_name(field, info)
    switch = plain_type(info.annotation) is bool
    return OptionCard(
        name=field,
        option=name,
        off=opposite(name) if switch and default is True else "",
        kind=kind_of(info),
        positional=flag.argument,
        required=info.is_required(),
        repeatable=is_many(info),
        default=default if isinstance(default, (bool, int, float, str)) else None,
        limits={
            key: value
            for item in info.metadata
            for key in _LIMITS
            if (value := getattr(item, key, None)) is not None
        },
        choices=choices_of(info.annotation),
        suffixes=flag.suffixes,
        metavar=flag.metavar,
        help=info.description or "",
        tier=flag.tier,
    )


def kind_of(info: FieldInfo) -> str:
    """Return the kind of a field's value."""
    flag = flag_of(info)
    if flag.path:
        return flag.path
    if flag.metavar in _BY_METAVAR:
        return _BY_METAVAR[flag.metavar]
    if choices_of(info.annotation):
        return "choice"
    if is_path(info):
        return "file"
    kind = plain_type(info.annotation)
    return _KINDS.get(kind, "text") if isinstance(kind, type) else "text"


def described(group: click.Group) -> dict[str, Command]:
    """Return the commands of a group by name, such as ``bundle info`` for one of an inner group."""
    context, found = click.Context(group), {}
    for name in group.list_commands(context):
        built = group.get_command(context, name)
        inner = built.commands if isinstance(built, click.Group) else {"": built}
        for second, command in inner.items():
            if isinstance(command, Command):
                found[f"{name} {second}".strip()] = command
    return found
