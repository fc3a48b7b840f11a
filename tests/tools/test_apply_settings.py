"""A bundle takes settings of a recipe without another training."""

import sys
from pathlib import Path

import pytest

from conftest import importer
from demiurge.model.bundle import load_bundle
from demiurge.training.recipe import load_recipe


def test_settings_change_and_weights_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_settings = importer(monkeypatch, "tools")("apply_settings")

    out = tmp_path / "new.bundle"
    changes = ["--set", "shrink=0.75", "--set", "clean_input=null"]
    arguments = ["apply_settings.py", "refine", str(out), *changes, "--reason", "a test"]
    monkeypatch.setattr(sys, "argv", arguments)
    apply_settings.main()
    old, new = load_bundle("refine"), load_bundle(out)
    assert (new.contract.shrink, new.contract.clean_input) == (0.75, None)
    assert new.card.recipe["shrink"] == 0.75
    assert new.card.provenance["changed"][-1]["reason"] == "a test"
    assert new.card.sha256 == old.card.sha256
    assert new.contract.calibration == old.contract.calibration
    assert load_recipe("demiurge").clean_input is not None
