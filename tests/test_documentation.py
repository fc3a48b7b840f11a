"""Commands, links and figures of the documentation: every shown command and option exists."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from demiurge import __version__
from demiurge.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def commands() -> list[tuple[str, list[str]]]:
    """Return page and words of every command in a block of code."""
    examples = []
    for page in PAGES:
        for block in re.findall(r"```(?:\w*)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            shown = [line for line in lines if line.startswith("demiurge ")]
            examples += [(page.name, shlex.split(line, comments=True)[1:]) for line in shown]
    return examples


def test_there_are_examples() -> None:
    assert len(commands()) >= 10


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda x: " ".join(x)[:60])
def test_shown_options_exist(page: str, words: list[str]) -> None:
    place: click.Command = app
    while isinstance(place, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(place)
        command = place.get_command(context, words[0])
        if command is None:
            break
        place, words = command, words[1:]
    known = {o for p in place.params for o in (*p.opts, *p.secondary_opts)}
    for word in words:
        if word.startswith("-") and "COMMAND" not in words:
            assert word.split("=")[0] in known | {"--help"}, f"{page}: {word}"


def test_no_page_has_a_placeholder() -> None:
    for page in PAGES:
        assert not re.findall(r"@[A-Z0-9_]+@", page.read_text("utf-8")), page


def test_targets_of_links_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_shown_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in PAGES:
        for target in re.findall(r"^make (\w+)", page.read_text("utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"


def test_paths_in_the_text_exist() -> None:
    """Pages that describe the code name files and folders that exist."""
    package = ROOT / "src" / "demiurge"
    for name in ("docs/architecture.md", "docs/decisions.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text("utf-8")
        for path in re.findall(r"`([\w./]+(?:/|\.py|\.md))`", text):
            assert (package / path).exists() or (ROOT / path).exists(), f"{name}: {path}"


def names_in(file: Path) -> set[str]:
    """Return functions and classes of a module, and the methods of its classes."""
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{x.name}" for x in node.body if isinstance(x, ast.FunctionDef)}
    return names


def test_functions_of_the_steps_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    steps = re.findall(r"^\| \d \| `([\w/]+\.py)` ([^|]+) \|", text, re.MULTILINE)
    assert len(steps) == 17
    for file, functions in steps:
        named = set(re.findall(r"`([\w.]+)`", functions))
        assert named <= names_in(ROOT / "src" / "demiurge" / file), file


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 120


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == "MIT"
