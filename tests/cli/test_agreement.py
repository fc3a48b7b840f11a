"""Commands, models of options and Python functions agree; help fits the terminal."""

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
import pytest
from click.testing import CliRunner

import demiurge
from demiurge.cli.main import COMMANDS, app
from demiurge.config import OptionModel, fields_of, flag_of
from demiurge.evaluation.options import CertifyOptions, CompareOptions, EvaluateOptions
from demiurge.exports.options import ExportOptions
from demiurge.fetching.options import FetchOptions
from demiurge.paths import PathLike
from demiurge.scene.options import PrepareOptions
from demiurge.simulation.options import SimulateOptions
from demiurge.training.options import PlanOptions, TrainOptions

#: Model, function, fields that the command translates, keywords of Python alone.
PAIRS: dict[str, tuple[type[OptionModel], str, set[str], set[str]]] = {
    "prepare": (
        PrepareOptions, "prepare", {"inputs", "kind", "source_crs"},
        {"files", "name", "extra", "origin"},
    ),
    "fetch": (FetchOptions, "fetch", set(), set()),
    "plan": (PlanOptions, "plan", set(), set()),
    "train": (TrainOptions, "train", {"encoder", "folds", "stripes", "no_log"}, set()),
    "simulate": (SimulateOptions, "simulate", {"size", "gsd", "config"}, {"config"}),
    "export": (ExportOptions, "export", set(), set()),
    "evaluate": (
        EvaluateOptions, "evaluate", {"sites", "profile", "json_file", "overwrite", "quiet"},
        {"advance"},
    ),
    "certify": (CertifyOptions, "certify", {"json_file", "quiet"}, set()),
    "compare": (CompareOptions, "compare", {"json_file", "overwrite", "quiet"}, {"advance"}),
}  # fmt: skip
#: Fields whose default or type differs, with the reason.
DIFFERENT = {
    ("train", "log"): "the command writes a log by default",
    ("simulate", "family"): "the command takes it from --config, if it is there",
    ("evaluate", "report"): "a file, from which the command makes a Report",
    ("evaluate", "surface"): "--sites replaces it",
    ("evaluate", "reference"): "--sites replaces it",
}


def fits(narrow: Any, wide: Any) -> bool:
    """Return whether every value of one type is a value of the other."""
    narrow, wide = (get_args(k)[0] if get_origin(k) is Annotated else k for k in (narrow, wide))
    if narrow == wide or wide is Any:
        return True
    if get_origin(narrow) in (Union, types.UnionType):
        return all(fits(kind, wide) for kind in get_args(narrow))
    if get_origin(wide) in (Union, types.UnionType):
        return any(fits(narrow, kind) for kind in get_args(wide))
    outer, inner = (get_origin(kind) or kind for kind in (narrow, wide))
    if Literal in (outer, inner):
        return outer is Literal and all(holds(wide, value) for value in get_args(narrow))
    pairs = zip(get_args(narrow), get_args(wide), strict=True)
    return issubclass(outer, inner) and all(fits(a, b) for a, b in pairs)


def holds(kind: Any, value: Any) -> bool:
    """Return whether a type, or a ``Literal``, has a value."""
    return value in get_args(kind) if get_origin(kind) is Literal else isinstance(value, kind)


def function_of(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(demiurge, PAIRS[name][1])
    return function


@pytest.mark.parametrize("name", PAIRS)
def test_model_and_function_have_the_same_names(name: str) -> None:
    model, _, translated, python_only = PAIRS[name]
    keywords = set(inspect.signature(function_of(name)).parameters)
    assert set(model.model_fields) - translated == keywords - python_only


@pytest.mark.parametrize("name", PAIRS)
def test_model_and_function_have_the_same_types_and_defaults(name: str) -> None:
    function = function_of(name)
    hints, parameters = get_type_hints(function), inspect.signature(function).parameters
    for field, info in PAIRS[name][0].model_fields.items():
        if field not in parameters or field in PAIRS[name][2] or (name, field) in DIFFERENT:
            continue
        assert fits(info.annotation, hints[field]), field
        default = parameters[field].default
        if info.is_required():
            assert default is inspect.Parameter.empty, field
        elif info.get_default(call_default_factory=True) not in ([], ()):
            assert info.get_default(call_default_factory=True) == default, field
        else:  # an empty list: nothing is given
            assert default in (inspect.Parameter.empty, None, ()), field


def test_types_are_compared() -> None:
    assert fits(int | None, int | float | None)
    assert fits(Literal["a"], str)
    assert fits(list[PathLike], list[PathLike | int])
    assert fits(dict[str, int], Mapping[str, int])
    assert not fits(int | None, int)
    assert not fits(str, Literal["a"])
    assert not fits(list[str], list[int])


def commands() -> dict[str, click.Command]:
    context = click.Context(app)
    result = {}
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        result[name] = command
        if isinstance(command, click.Group):
            result |= {f"{name} {inner}": c for inner, c in command.commands.items()}
    return result


@pytest.mark.parametrize("name", commands())
def test_help_fits_80_columns_and_explains_every_option(name: str) -> None:
    command = commands()[name]
    text = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=80).output
    assert max(map(len, text.splitlines())) <= 80
    for parameter in command.params:
        about = getattr(parameter, "help", None) or getattr(parameter, "about", "")
        assert about[:1].isupper() or about.split()[0].rstrip(".,") in (
            "stereo", "intersection", "LAYER=FILE[:BAND]",
        ), f"{name} {parameter.name}: {about}"  # fmt: skip
        assert "." in about


def test_summaries_are_the_first_lines_of_the_help() -> None:
    for name, command in commands().items():
        if name in COMMANDS:
            assert COMMANDS[name][1] == (command.help or "").splitlines()[0]


def test_one_field_is_one_option_everywhere() -> None:
    """A field of the model is a keyword of the function and an option of the command."""
    from demiurge.predict.options import GenerateOptions, ImagineOptions, RefineOptions

    models = {"refine": RefineOptions, "generate": GenerateOptions, "imagine": ImagineOptions}
    for name, model in models.items():
        keywords = inspect.signature(getattr(demiurge, name)).parameters
        options = {parameter.name for parameter in commands()[name].params}
        for field, info in fields_of(model).items():
            assert field in keywords
            only = flag_of(info).only
            assert (field in options) == (not only or name in only)
