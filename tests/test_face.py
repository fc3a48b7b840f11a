"""The Python interface: quick to import, with the functions of the command line."""

import importlib
import subprocess
import sys

import pytest

import demiurge

HEAVY = ("numpy", "rasterio", "torch", "lightning", "openvino", "scipy", "matplotlib", "rich")


@pytest.mark.parametrize("module", ["demiurge", "demiurge.cli.main"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_names_are_importable_and_no_modules() -> None:
    for name in demiurge.__all__:
        assert getattr(demiurge, name) is not None
    for module in ("demiurge.evaluation.evaluate", "demiurge.training.fit"):
        importlib.import_module(module)
    for verb in ("refine", "generate", "evaluate", "train", "prepare", "check", "open_scene"):
        assert callable(getattr(demiurge, verb))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError):
        _ = demiurge.nonsense
