"""Sphinx configuration; writes the tables that come from the code before the build."""

from pathlib import Path

import click

from demiurge import __version__
from demiurge.cli.build import reference
from demiurge.cli.main import COMMANDS, app
from demiurge.cli.recipes import settings_of
from demiurge.layers import LAYERS
from demiurge.predict.options import Options
from demiurge.simulation.classes import CLASSES
from demiurge.simulation.settings import OpticalSettings, StereoSettings
from demiurge.training.recipe import Recipe

project = "demiurge"
author = "The demiurge developers"
copyright = "2026, The demiurge developers"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Notebooks are stored without outputs and executed here, each in a temporary folder.
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
exclude_patterns = ["_build", "reference/*.inc.md"]
html_theme = "furo"
html_title = f"demiurge {version}"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Signatures of option models hold help texts, whose words are no references.
suppress_warnings = ["myst.header", "ref.python"]
napoleon_use_ivar = True


def _markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _write(path: str, text: str) -> None:
    (Path(__file__).parent / "reference" / path).write_text(text, encoding="utf-8")


def _table(path: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    _write(path, _markdown(head, rows))


_table(
    "layers.inc.md",
    ("layer", "unit", "role", "resampling", "about", "no data"),
    [(f"`{x.name}`", x.unit, x.role, x.resampling, x.about, x.void) for x in LAYERS.values()],
)
_KEYS = {"recipe": Recipe, "stereo": StereoSettings, "optical": OpticalSettings, "options": Options}
for _name, _model in _KEYS.items():
    _table(
        f"{_name}.inc.md",
        ("setting", "default", "about"),
        [(f"`{key}`", f"`{default}`", about) for key, default, about in settings_of(_model)],
    )
_table("classes.inc.md", ("number", "land cover"), [(str(k), v) for k, v in CLASSES.items()])


def _commands() -> str:
    """Return a section with a table of options for each command."""
    context, sections = click.Context(app), []
    for name in COMMANDS:
        command = app.get_command(context, name)
        inner = getattr(command, "commands", {"": command})
        for second, built in inner.items():
            rows = [(f"`{option}`", tier, about) for option, tier, about in reference(built)]
            text = _markdown(("option", "tier", "about"), rows) if rows else ""
            sections.append(f"### {f'{name} {second}'.strip()}\n\n{built.help}\n\n{text}")
    return "\n".join(sections)


_table(
    "commands.inc.md",
    ("command", "purpose"),
    [(f"`{name}`", summary) for name, (_, summary) in COMMANDS.items()],
)
_write("command_options.inc.md", _commands())
