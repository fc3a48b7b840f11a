"""Sphinx configuration; writes the tables that come from the code before the build."""

from pathlib import Path

from demiurge import __version__
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

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "reference/*.inc.md"]
html_theme = "furo"
html_title = f"demiurge {version}"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]


def _table(path: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    (Path(__file__).parent / "reference" / path).write_text("\n".join(lines) + "\n")


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
