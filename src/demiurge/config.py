"""Strict models, models of options, and YAML files read into models.

An option is one field of an :class:`OptionModel`. Its annotation gives the type, ``Field`` gives
default, limits and help, and :class:`Flag` gives what the command line needs beyond that. Commands
(:mod:`demiurge.cli.build`), Python functions (:func:`takes`) and the reference documentation are
built from these models.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    overload,
)

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from demiurge.errors import ConfigError, ResourceError, UsageError
from demiurge.paths import PathLike


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_fault(error: ValidationError) -> str:
    """Return the first error of a validation as ``key: reason``."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "is not a known key"
    return f"{key}: {message}" if key else message


#: What the path of an option names: a raster; a raster or one of its bands (``FILE:BAND``); a
#: raster or a scene folder; rasters by layer (``LAYER=FILE``), or a folder; points; another file;
#: a folder; a bundle.
PathKind = Literal["", "raster", "band", "scene", "layers", "points", "file", "folder", "bundle"]


@dataclass(frozen=True)
class Flag:
    """How a field appears on the command line.

    Attributes
    ----------
    name
        The option, if it is not the field's name with dashes.
    short
        A short form, such as ``-o``.
    metavar
        Placeholder of the value in the help.
    cure
        What to do about a refused value, if type and limits do not say it.
    tier
        ``expert`` options are listed last.
    argument
        Whether the value is positional.
    parse
        Converts the text (of a repeatable option: the texts) to the field's value.
    default
        Default on the command line, if it differs from that in Python.
    only
        The commands that have the option; all if empty. ``("python",)`` hides it.
    path
        What a path names, for programs that offer layers and files; see :data:`PathKind`.
    suffixes
        Suffixes of a file that the command writes; ``("/",)`` is a folder.
    """

    name: str = ""
    short: str = ""
    metavar: str = ""
    cure: str = ""
    tier: Literal["option", "expert"] = "option"
    argument: bool = False
    parse: Callable[[Any], Any] | None = None
    default: Any = None
    only: tuple[str, ...] = ()
    path: PathKind = ""
    suffixes: tuple[str, ...] = ()


_NO_FLAG = Flag()

Overwrite = Annotated[bool, Field(description="Replace existing outputs.")]
Quiet = Annotated[
    bool,
    Flag(short="-q", default=False),
    Field(description="Show no progress, notes or results."),
]


class OptionModel(Strict):
    """Options of a command or function.

    Raises
    ------
    UsageError
        For a refused value or an unknown name; the message names the option and the cure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _usage_error(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise _refusal(cls, error) from None

    def subset(self, model: type[OptionModel]) -> dict[str, Any]:
        """Return the values of those fields that another model has, too."""
        return {n: getattr(self, n) for n in model.model_fields if n in type(self).model_fields}


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by name: those of the most derived class first."""
    names: dict[str, None] = {}
    for base in model.__mro__:
        names |= dict.fromkeys(inspect.get_annotations(base))
    return {name: model.model_fields[name] for name in names if name in model.model_fields}


def flag_of(info: FieldInfo) -> Flag:
    """Return the flag of a field."""
    return next((item for item in info.metadata if isinstance(item, Flag)), _NO_FLAG)


def option_name(name: str, info: FieldInfo) -> str:
    """Return how the command line names a field: ``--any-input``."""
    flag = flag_of(info)
    return name.upper() if flag.argument else flag.name or f"--{name.replace('_', '-')}"


def plain_type(annotation: Any) -> Any:
    """Return a type without ``Annotated`` and ``None``: ``int`` for ``int | None``."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [plain_type(x) for x in get_args(annotation) if x is not type(None)]
        return members[0] if len(members) == 1 else Union[tuple(members)]  # noqa: UP007
    return annotation


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a ``Literal``; nothing for other types."""
    kind = plain_type(annotation)
    return get_args(kind) if get_origin(kind) is Literal else ()


def limits_of(info: FieldInfo) -> str:
    """Return the limits of a number in words, such as ``0 to 0.9``; empty if it has none."""
    limits = {
        key: f"{value:g}"
        for item in info.metadata
        for key in ("ge", "gt", "le", "lt", "multiple_of")
        if (value := getattr(item, key, None)) is not None
    }
    low = f"above {limits['gt']}" if "gt" in limits else limits.get("ge", "")
    high = f"below {limits['lt']}" if "lt" in limits else limits.get("le", "")
    if low and high:
        text = f"{low} to {high}"
    elif high:
        text = high if "lt" in limits else f"at most {high}"
    else:
        text = f"{low} or more" if "ge" in limits else low
    return f"{text}, a multiple of {limits['multiple_of']}" if "multiple_of" in limits else text


def _refusal(model: type[BaseModel], error: ValidationError) -> UsageError:
    """Return the first error of a validation as a sentence with its cure."""
    fault = error.errors()[0]
    if not fault["loc"]:
        return UsageError(fault["msg"].removeprefix("Value error, "))
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return UsageError(f"'{name}' is no option", f"choose among {', '.join(fields_of(model))}")
    info = model.model_fields[name]
    if fault["type"] == "missing":
        return UsageError(f"{option_name(name, info)} is missing", "add it")
    value = fault["input"]
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    return UsageError(f"{option_name(name, info)} is {shown}", _cure(info))


def _cure(info: FieldInfo) -> str:
    choices, limits = choices_of(info.annotation), limits_of(info)
    if flag_of(info).cure:
        return flag_of(info).cure
    if choices:
        *first, last = map(str, choices)
        return f"choose {', '.join(first)} or {last}"
    if limits:
        return f"choose {limits}"
    return "give true or false" if plain_type(info.annotation) is bool else "give a text"


P = ParamSpec("P")
S = TypeVar("S")
M = TypeVar("M", bound=OptionModel)
W = TypeVar("W")
R = TypeVar("R")
S_contra = TypeVar("S_contra", contravariant=True)
W_co = TypeVar("W_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
M_contra = TypeVar("M_contra", bound=OptionModel, contravariant=True)


class Verb(Protocol[S_contra, P, W_co, R_co]):
    """A function of an input, an optional output, and options as keywords."""

    @overload
    def __call__(
        self, source: S_contra, output: PathLike, /, *args: P.args, **options: P.kwargs
    ) -> W_co: ...

    @overload
    def __call__(self, source: S_contra, /, *args: P.args, **options: P.kwargs) -> R_co: ...


class Function(Protocol[S_contra, M_contra, W_co, R_co]):
    """A function of an input, an optional output, and a model of options."""

    def __call__(
        self, source: S_contra, output: PathLike | None = None, /, *, options: M_contra
    ) -> W_co | R_co: ...


def takes(
    model: Callable[P, M], written: type[W], returned: Callable[..., R]
) -> Callable[[Function[S, M, W, R]], Verb[S, P, W, R]]:
    """Make a function of (input, output, options) take the options' fields as keywords.

    ``written`` is its result with an output; without one it is what ``returned`` returns.


    Type checkers, ``help()`` and the documentation show the fields. A field ``options`` of the
    model may hold a ready model; keywords override its values.
    """
    fields = fields_of(model)  # type: ignore[arg-type]  # a model is its own constructor

    def decorate(function: Function[S, M, W, R]) -> Verb[S, P, W, R]:
        source, output, _ = inspect.signature(function).parameters.values()
        positional = inspect.Signature([source, output])

        @wraps(function)
        def call(*places: Any, **values: Any) -> W | R:
            named = {n: values.pop(n) for n in positional.parameters if n in values}
            bound = positional.bind(*places, **named)
            bound.apply_defaults()
            ready = values.pop("options", None)
            if ready is not None:
                values = {n: getattr(ready, n) for n in ready.model_fields_set} | values
            return function(*bound.args, options=model(**values))  # type: ignore[call-arg]

        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [source, output, *(_parameter(n, i) for n, i in fields.items())],
            return_annotation=inspect.signature(function).return_annotation,
        )
        call.__doc__ = _documented(inspect.cleandoc(function.__doc__ or ""), fields)
        return cast("Verb[S, P, W, R]", call)

    return decorate


def _parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    default = inspect.Parameter.empty if info.is_required() else info.get_default()
    kind, annotation = inspect.Parameter.KEYWORD_ONLY, plain_type(info.annotation)
    if type(None) in get_args(info.annotation):
        annotation = annotation | None
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _documented(text: str, fields: Mapping[str, FieldInfo]) -> str:
    """Return a docstring with an entry for each field after its own parameters."""
    entries = "".join(f"{name}\n    {info.description}\n" for name, info in fields.items())
    head, mark, tail = text.partition("\nReturns\n")
    return f"{head.rstrip()}\n{entries}{mark}{tail}"


#: libyaml's loader if PyYAML was built with it: many times faster.
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, kind: str) -> dict[str, Any]:
    """Read a YAML mapping; ``kind`` names the file in messages.

    Raises
    ------
    ResourceError, ConfigError
        If the file is missing, or is no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), SafeLoader)
    except FileNotFoundError:
        raise ResourceError(f"{path}: there is no such {kind}", "check the path") from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" at line {line + 1}" if line is not None else ""
        raise ConfigError(
            f"{path}: is not valid YAML{where}", "correct it or recreate it"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no keys", f"see the documentation of a {kind}")
    return content
