"""Build commands from functions that take a model of options."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click
from pydantic.fields import FieldInfo

from demiurge.config import (
    OptionModel,
    choices_of,
    fields_of,
    flag_of,
    limits_of,
    option_name,
    plain_type,
)

M = TypeVar("M", bound=OptionModel)


class Command(click.Command):
    """A command that lists its expert options last."""

    def __init__(self, *, fields: Mapping[str, FieldInfo], **settings: Any) -> None:
        super().__init__(**settings)
        self.fields = fields
        self.experts = {f for f, info in fields.items() if flag_of(info).tier == "expert"}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, the options and the expert options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                help_text = getattr(param, "about", "")
                sections["Arguments"].append((param.make_metavar(ctx), help_text))
                continue
            record = param.get_help_record(ctx)
            title = "Expert options" if param.name in self.experts else "Options"
            if record is not None:
                sections.setdefault(title, []).append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def command(function: Callable[[M], None]) -> Command:
    """Make a command of a function that takes a model of options.

    The command has the function's name and docstring. Positional fields become arguments,
    sequences repeatable options, booleans switches (``--x``, or ``--x / --no-x`` if the default is
    true). The model checks limits and choices.
    """
    name = function.__name__
    model: type[M] = get_type_hints(function)["options"]
    fields = {
        field: info
        for field, info in fields_of(model).items()
        if not flag_of(info).only or name in flag_of(info).only
    }

    def callback(**values: Any) -> None:
        function(model(**_given(values, fields)))

    required = sorted(fields, key=lambda field: not fields[field].is_required())
    return Command(
        name=name,
        callback=callback,
        params=[_parameter(field, fields[field]) for field in required],
        help=inspect.getdoc(function),
        fields=fields,
    )


def reference(built: Command) -> list[tuple[str, str, str]]:
    """Return option, tier (required, option or expert) and help of every parameter."""
    rows = []
    for param in built.params:
        names = ", ".join([*param.opts, *param.secondary_opts])
        about = str(getattr(param, "help", None) or getattr(param, "about", ""))
        if isinstance(param, click.Argument):
            names = param.human_readable_name.upper()
        elif param.metavar:
            names += f" {param.metavar}"
        tier = "expert" if param.name in built.experts else "option"
        rows.append((names, "required" if param.required else tier, about))
    return rows


def _given(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return the values for the model; options that are not given keep the model's default."""
    given = {}
    for field, value in values.items():
        if value is None or value == ():
            continue
        parse = flag_of(fields[field]).parse
        given[field] = value if parse is None else parse(value)
    return given


def _parameter(field: str, info: FieldInfo) -> click.Parameter:
    flag, many = flag_of(info), is_many(info)
    metavar = flag.metavar or _metavar(info)
    if flag.argument:
        argument = click.Argument(
            [field],
            nargs=-1 if many else 1,
            required=info.is_required(),
            metavar=flag.metavar or None,
        )
        argument.about = info.description  # type: ignore[attr-defined]
        return argument
    names = [option_name(field, info), *([flag.short] if flag.short else [])]
    default = default_of(info)
    if plain_type(info.annotation) is bool:
        if default:
            names[0] += f"/{opposite(names[0])}"
        return click.Option([field, *names], is_flag=True, default=default, help=help_of(info))
    return click.Option(
        [field, *names],
        type=_type(info),
        multiple=many,
        required=info.is_required(),
        metavar=metavar,
        help=help_of(info),
    )


def opposite(name: str) -> str:
    """Return the switch that turns an option off: ``--no-x`` for ``--x``."""
    return f"--no-{name.removeprefix('--')}"


def help_of(info: FieldInfo) -> str:
    """Return the help of a field, with limits and default."""
    limits, default = limits_of(info), default_of(info)
    facts = [limits] if limits else []
    if not (default is None or default is False or default == []):
        facts.append(f"default: {'on' if default is True else default}")
    text = (info.description or "") + (" Repeatable." if is_many(info) else "")
    return f"{text} [{'; '.join(facts)}]" if facts else text


def default_of(info: FieldInfo) -> Any:
    """Return the default on the command line; None if there is none."""
    flag = flag_of(info)
    if info.is_required():
        return None
    return info.get_default(call_default_factory=True) if flag.default is None else flag.default


def is_many(info: FieldInfo) -> bool:
    """Return whether a value may be given several times."""
    origin = get_origin(plain_type(info.annotation))
    if origin in (list, tuple, Sequence):
        return True
    return origin is Mapping


def _type(info: FieldInfo) -> click.ParamType[Any]:
    kinds = {type(x) for x in choices_of(info.annotation)} or {plain_type(info.annotation)}
    return click.INT if kinds == {int} else click.FLOAT if kinds == {float} else click.STRING


def _metavar(info: FieldInfo) -> str:
    choices, kind = choices_of(info.annotation), plain_type(info.annotation)
    if choices:
        return "|".join(map(str, choices))
    if kind in (int, float):
        return "N" if kind is int else "NUMBER"
    return "FILE" if is_path(info) else "TEXT"


def is_path(info: FieldInfo) -> bool:
    """Return whether a value, or each of a sequence of values, is a path."""
    kind = plain_type(info.annotation)
    members = {kind, *(get_origin(x) or x for x in get_args(kind))}
    return not members.isdisjoint({Path, os.PathLike})
