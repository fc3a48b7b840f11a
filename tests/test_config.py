"""Models of options: messages of refused values, and functions that take the fields."""

import inspect
import math
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from demiurge.config import (
    Flag,
    OptionModel,
    choices_of,
    fields_of,
    limits_of,
    option_name,
    read_yaml,
    takes,
)
from demiurge.errors import ConfigError, ResourceError, UsageError
from demiurge.paths import PathLike


class Shared(OptionModel):
    size: int = Field(4, ge=2, le=8, multiple_of=2, description="Size in pixels.")
    share: float | None = Field(None, gt=0, description="A share.")
    mode: Literal["fast", "exact", "auto"] = Field("auto", description="A mode.")
    keep: Annotated[bool, Flag(name="--retain")] = Field(False, description="Keep it.")


class Mine(Shared):
    extra: str | None = Field(None, description="More.")
    options: Shared | None = Field(None, description="Ready options.")


Joined = tuple[str, PathLike | None, Mine]


def _joined(*parts: object) -> Joined:
    raise NotImplementedError


@takes(Mine, Joined, _joined)
def join(source: str, output: PathLike | None = None, *, options: Mine) -> Joined:
    """Join.

    Parameters
    ----------
    source, output
        Two texts.

    Returns
    -------
    All of them.
    """
    return source, output, options


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"size": 9}, "--size is 9; choose 2 to 8, a multiple of 2."),
        ({"size": "x"}, "--size is 'x'; choose 2 to 8, a multiple of 2."),
        ({"share": 0.0}, "--share is 0; choose above 0."),
        ({"share": math.nan}, "--share is nan; choose above 0."),
        ({"mode": "slow"}, "--mode is 'slow'; choose fast, exact or auto."),
        ({"keep": "perhaps"}, "--retain is 'perhaps'; give true or false."),
        ({"siz": 4}, "'siz' is no option; choose among size, share, mode, keep."),
    ],
)
def test_a_refused_value_is_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Shared(**values)
    assert str(caught.value) == sentence


def test_a_missing_value_is_one_sentence() -> None:
    class Needy(OptionModel):
        bundle: str = Field(description="A bundle.")

    with pytest.raises(UsageError, match="--bundle is missing"):
        Needy()


def test_options_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Shared().size = 6  # type: ignore[misc]


def test_facts_about_fields() -> None:
    fields = fields_of(Mine)
    assert list(fields) == ["extra", "options", "size", "share", "mode", "keep"]
    assert [limits_of(fields[n]) for n in ("size", "share", "mode")] == [
        "2 to 8, a multiple of 2", "above 0", "",
    ]  # fmt: skip
    assert choices_of(fields["mode"].annotation) == ("fast", "exact", "auto")
    assert [option_name(n, fields[n]) for n in ("keep", "size")] == ["--retain", "--size"]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"ge": 0.5, "lt": 1}, "0.5 to below 1"),
        ({"gt": 0, "le": 1}, "above 0 to 1"),
        ({"ge": 3}, "3 or more"),
        ({"le": 3}, "at most 3"),
        ({"lt": 3}, "below 3"),
        ({}, ""),
    ],
)
def test_limits_in_words(limits: dict[str, float], text: str) -> None:
    assert limits_of(Field(1.0, **limits)) == text


def test_a_function_takes_the_fields_as_keywords() -> None:
    source, output, options = join("a", "b", size=8, extra="c")
    assert (source, output, options.size, options.extra) == ("a", "b", 8, "c")
    with pytest.raises(UsageError, match="'sizes' is no option"):
        join("a", "b", sizes=8)  # type: ignore[call-arg]


def test_a_ready_model_is_overridden_by_keywords() -> None:
    ready = Shared(size=8, mode="fast")
    _, _, options = join("a", "b", options=ready, size=2, extra="c")
    assert (options.size, options.mode, options.keep, options.extra) == (2, "fast", False, "c")


def test_inputs_may_be_keywords_and_outputs_be_left_out() -> None:
    assert join(output="b", source="a")[:2] == ("a", "b")  # type: ignore[call-arg]
    assert join("a")[:2] == ("a", None)
    with pytest.raises(TypeError, match="source"):
        join(output="b")  # type: ignore[call-arg]


def test_help_shows_the_fields() -> None:
    parameters = inspect.signature(join).parameters
    assert list(parameters) == ["source", "output", *fields_of(Mine)]
    assert parameters["size"].default == 4
    assert parameters["share"].annotation == float | None
    text = inspect.getdoc(join) or ""
    assert text.index("source, output") < text.index("size\n    Size in pixels.")
    assert text.index("size\n    Size in pixels.") < text.index("Returns\n-------")


def test_yaml_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="no such recipe"):
        read_yaml(tmp_path / "none.yaml", "recipe")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: 1\nb: [\n")
    with pytest.raises(ConfigError, match="is not valid YAML at line 3"):
        read_yaml(broken, "recipe")
    broken.write_text("- 1\n")
    with pytest.raises(ConfigError, match="holds no keys"):
        read_yaml(broken, "recipe")
