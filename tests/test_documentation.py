"""Every command that README and docs show exists with the options shown."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from demiurge.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:\w*)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            shown = [line for line in lines if line.startswith("demiurge ")]
            found += [(page.name, shlex.split(line, comments=True)[1:]) for line in shown]
    return found


def test_there_are_examples() -> None:
    assert len(commands()) >= 10


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda x: " ".join(x)[:60])
def test_shown_options_exist(page: str, words: list[str]) -> None:
    place = typer.main.get_command(app)
    while words and words[0] in getattr(place, "commands", {}):
        place, words = place.commands[words[0]], words[1:]
    known = {o for p in place.params for o in (*p.opts, *p.secondary_opts)}
    for word in words:
        if word.startswith("-") and "COMMAND" not in words:
            assert word.split("=")[0] in known | {"--help"}, f"{page}: {word}"


def test_no_page_waits_for_a_figure() -> None:
    for page in PAGES:
        assert not re.findall(r"@[A-Z0-9_]+@", page.read_text("utf-8")), page


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_make_targets_that_are_shown_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in PAGES:
        for target in re.findall(r"^make (\w+)", page.read_text("utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"
