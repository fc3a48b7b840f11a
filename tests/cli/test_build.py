"""Commands built from models of options."""

from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from demiurge.cli.build import command
from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import UsageError
from demiurge.scene.options import NoDataOption

received: list[Any] = []


class Toy(OptionModel):
    surface: Annotated[str, Flag(argument=True)] = Field(description="Raster of heights.")
    output: Annotated[str, Flag(short="-o")] = Field(description="File to write.")
    size: Annotated[int, Flag(name="--batch", tier="expert")] = Field(
        4, ge=1, description="Windows at a time."
    )
    tta: Literal[1, 2, 4] = Field(1, description="Orientations.")
    equalise: bool = Field(True, description="Equalise images.")
    lines: Annotated[list[str], Flag(name="--line")] = Field([], description="A line.")
    hidden: Annotated[int, Flag(only=("python",))] = Field(3, description="For Python.")
    nodata: NoDataOption = None
    overwrite: Overwrite = False
    quiet: Quiet = True


@command
def toy(options: Toy) -> None:
    """Do nothing.

    Not at all.
    """
    received.append(options)


def run(*words: str) -> Any:
    received.clear()
    result = CliRunner().invoke(toy, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return received[0] if received else result.output


def test_defaults_are_those_of_the_model() -> None:
    options = run("a.tif", "-o", "b.tif")
    assert options == Toy(surface="a.tif", output="b.tif", quiet=False)
    assert not options.quiet, "the command line has its own default"


def test_every_kind_of_option() -> None:
    options = run(
        "a.tif", "--output", "b.tif", "--batch", "2", "--tta", "4", "--no-equalise", "--line", "x",
        "--line", "y", "--nodata", "dsm=-9", "--nodata", "dsm=-8", "--nodata", "ndvi=none", "-q",
    )  # fmt: skip
    assert (options.size, options.tta, options.equalise, options.quiet) == (2, 4, False, True)
    assert options.lines == ["x", "y"]
    assert options.nodata == {"dsm": [-9, -8], "ndvi": []}
    assert run("a.tif", "-o", "b.tif", "--equalise").equalise


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch", "0"], "--batch is 0; choose 1 or more"),
        (["--tta", "3"], "--tta is 3; choose 1, 2 or 4"),
        (["--nodata", "dsm"], "write dsm=-999"),
    ],
)
def test_the_model_checks_values(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        run("a.tif", "-o", "b.tif", *words)


@pytest.mark.parametrize(
    "words", [["a.tif"], ["-o", "b.tif"], ["a.tif", "-o", "b", "--batch", "x"], ["--hidden", "1"]]
)
def test_click_checks_the_form(words: list[str]) -> None:
    assert CliRunner().invoke(toy, words).exit_code == 2


def test_help_lists_limits_defaults_and_expert_options() -> None:
    text = run("--help")
    assert "Do nothing.\n\n  Not at all." in text
    assert "SURFACE  Raster of heights." in text
    assert "-o, --output TEXT" in text
    assert "--equalise / --no-equalise" in text
    assert "Repeatable." in text
    options, expert = text.split("Expert options:")
    assert "--batch N" in expert
    assert "[1 or more; default: 4]" in expert
    assert "--tta 1|2|4" in options
    assert "hidden" not in text


def test_parameters_have_the_names_of_fields() -> None:
    assert isinstance(toy, click.Command)
    assert {p.name for p in toy.params} == set(Toy.model_fields) - {"hidden"}
