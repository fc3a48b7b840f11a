"""The modules of the QGIS plugin that need no QGIS, and a command that runs this demiurge."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from code_tree import PACKAGE, ROOT

FOLDER = ROOT / "qgis" / "demiurge"
#: The plugin's own name is that of the package; QGIS has only one of them.
_NAME = "demiurge_in_qgis"


def part(name: str) -> ModuleType:
    """Import a module of the plugin."""
    if _NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _NAME, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[_NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_NAME])
    return importlib.import_module(f"{_NAME}.{name}")


def program(folder: Path, words: str = "-m demiurge.cli.main") -> Path:
    """Write a program that runs Python with the package of this checkout."""
    path = folder / "demiurge"
    path.write_text(
        f"#!/bin/sh\nPYTHONPATH='{PACKAGE.parent}' OMP_NUM_THREADS=1 "
        f"exec '{sys.executable}' {words} \"$@\"\n"
    )
    path.chmod(0o755)
    return path


def without_settings(folder: Path) -> dict[str, str]:
    """Return an environment in which QGIS has no user settings."""
    places = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "PYTEST"))}
    for name in places:
        (folder / name).mkdir(exist_ok=True, mode=0o700)
    return kept | {name: str(folder / name) for name in places}
