"""Options as plain data: complete, and the same as the command line."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from demiurge.cli.build import is_path
from demiurge.cli.describe import described
from demiurge.cli.main import COMMANDS, app

KEYS = {
    "name", "option", "off", "kind", "positional", "required", "repeatable", "default", "limits",
    "choices", "suffixes", "metavar", "help", "tier",
}  # fmt: skip
#: Names of options whose file or folder the command writes.
OUTPUTS = {"output", "out", "json_file", "report", "log", "snapshot"}


def content(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["options", *words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    read: dict[str, Any] = json.loads(result.stdout)
    return read


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    return content()


def option(command: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        x for x in content(command)["commands"][command]["options"] if x["name"] == name
    )
    return found


def test_every_command_and_option_is_described(everything: dict[str, Any]) -> None:
    assert everything["format"] == 1
    assert {name.split()[0] for name in everything["commands"]} >= set(COMMANDS)
    context = click.Context(app)
    for name, card in everything["commands"].items():
        command = app.get_command(context, name.split()[0])
        for inner in name.split()[1:]:
            assert isinstance(command, click.Group)
            command = command.commands[inner]
        assert command is not None
        names = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        for item in card["options"]:
            assert set(item) == KEYS
            assert item["positional"] or item["option"] in names
            assert not item["off"] or item["off"] in names
            assert item["help"]
        assert len(card["options"]) == len(command.params)


def test_only_named_commands_are_described() -> None:
    assert list(content("certify", "bundle info")["commands"]) == ["certify", "bundle info"]


def test_facts_of_options() -> None:
    window = option("refine", "window")
    assert (window["option"], window["kind"], window["tier"]) == ("--window", "integer", "expert")
    assert window["limits"] == {"ge": 64, "le": 4096, "multiple_of": 32}
    assert option("refine", "tta")["choices"] == [1, 2, 4, 8]
    assert option("refine", "tta")["default"] == 1
    assert option("refine", "dsm") | {"help": ""} == {
        "name": "dsm", "option": "DSM", "off": "", "kind": "scene", "positional": True,
        "required": True, "repeatable": False, "default": None, "limits": {}, "choices": [],
        "suffixes": [], "metavar": "", "help": "", "tier": "option",
    }  # fmt: skip
    assert option("refine", "output")["suffixes"] == [".tif", ".tiff", ".zarr"]
    assert option("generate", "reconcile")["off"] == "--no-reconcile"
    assert option("generate", "gsd")["limits"] == {"gt": 0}
    assert option("prepare", "out")["suffixes"] == ["/"]
    assert option("prepare", "crs")["kind"] == "crs"
    assert option("evaluate", "profile")["repeatable"]
    assert option("evaluate", "surface")["kind"] == "band"
    assert option("fetch", "bbox")["kind"] == "bounds"
    assert option("certify", "points")["kind"] == "points"


def test_layers_are_listed(everything: dict[str, Any]) -> None:
    layers = {layer["name"]: layer for layer in everything["layers"]}
    assert layers["dsm"]["role"] == "input"
    assert layers["truth_dsm"]["role"] == "truth"


def test_paths_state_what_they_name_and_outputs_their_suffixes(everything: dict[str, Any]) -> None:
    for name, command in described(app).items():
        cards = {x["name"]: x for x in everything["commands"][name]["options"]}
        for field, info in command.fields.items():
            card = cards[field]
            if is_path(info):
                kinds = ("raster", "band", "scene", "points", "file", "folder", "bundle")
                assert card["kind"] in kinds, f"{name} {field}"
                writes = field in OUTPUTS and (name, field) != ("bundle info", "output")
                assert bool(card["suffixes"]) == writes, f"{name} {field}"


def test_tables_for_people() -> None:
    text = CliRunner().invoke(app, ["options", "export"]).stdout
    assert "--thin NUMBER" in text
    assert "expert" not in text


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from demiurge.cli.main import run

    with pytest.raises(SystemExit) as stop:
        run(["options", "refin"])
    assert stop.value.code == 2
    assert "'refin' is no command; choose among " in capsys.readouterr().err
