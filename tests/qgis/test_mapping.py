"""Parameters of the QGIS plugin: every option has one, and values give the right command line."""

import ast
import configparser
import json
import subprocess
import sys
import zipfile
from typing import Any

import click
import pytest
from plugin_parts import FOLDER, part

from code_tree import ROOT
from demiurge import __version__
from demiurge.cli.describe import describe, described
from demiurge.cli.main import app

mapping, specification = part("mapping"), part("specification")
SPEC = specification.parse(json.loads(json.dumps(describe(described(app)))))


def provided() -> list[str]:
    """Return the commands that the provider offers, read without QGIS."""
    for node in ast.parse((FOLDER / "provider.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMANDS":
            return [name for name in ast.literal_eval(node.value) if name in SPEC.commands]
    raise AssertionError("provider.py has no COMMANDS")


COMMANDS = provided()


def words(name: str, **values: Any) -> list[str]:
    found: list[str] = mapping.arguments(SPEC.commands[name], SPEC.layers, values)
    return found


def parsed(name: str, **values: Any) -> dict[str, Any]:
    """Return what the real command line makes of the arguments."""
    command = app.get_command(click.Context(app), name)
    assert command is not None
    first, *rest = words(name, **values)
    assert first == name
    return {k: v for k, v in command.make_context(name, rest).params.items() if v not in (None, ())}


def test_the_requested_commands_are_offered() -> None:
    assert {"refine", "generate", "prepare", "evaluate", "export", "certify"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_parameter(name: str) -> None:
    card = SPEC.commands[name]
    parameters = mapping.parameters(card, SPEC.layers)
    names = [p.name for p in parameters]
    assert len(names) == len(set(names))
    assert {p.option for p in parameters} == {o.name for o in card.options} - set(mapping.HIDDEN)
    for p in parameters:
        assert p.kind in mapping.KINDS
        assert p.label[:1].isupper() or p.label[:1].isdigit()
        assert p.help
    outputs = [p.kind.endswith("output") for p in parameters]
    assert outputs == sorted(outputs), "outputs come last"


@pytest.mark.parametrize("name", COMMANDS)
def test_values_at_their_defaults_are_left_out(name: str) -> None:
    card = SPEC.commands[name]
    values = {p.name: p.default for p in mapping.parameters(card, SPEC.layers)}
    assert words(name, **values) == [name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_reaches_its_option(name: str) -> None:
    """One value at a time: the command line understands it and changes only its option."""
    card = SPEC.commands[name]
    required = {o.name: f"{o.name}.tif" for o in card.options if o.required}
    if name == "prepare":
        required["inputs"] = ["a.tif"]
    base = parsed(name, **required)
    for p in mapping.parameters(card, SPEC.layers):
        if p.kind == "band" or p.name in required or p.option in required:
            continue
        changed = parsed(name, **required, **{p.name: example(p)})
        differing = {k for k in base | changed if base.get(k) != changed.get(k)}
        assert differing == {p.option}, p.name


def example(p: Any) -> Any:
    if p.kind == "boolean":
        return not p.default
    if p.kind in ("integer", "number"):
        middle = (p.minimum or 0) + 1
        number = middle if p.maximum is None else (p.minimum + p.maximum) / 2
        return int(number) if p.kind == "integer" else float(number)
    if p.kind == "choice":
        return next(choice for choice in p.choices if choice != p.default)
    texts = {"lines": ["a=1", "b=2"], "rasters": ["a.tif", "b.tif"]}
    return texts.get(p.kind, "some text")


def test_limits_choices_and_tiers() -> None:
    found = {p.name: p for p in mapping.parameters(SPEC.commands["refine"], SPEC.layers)}
    window = found["window"]
    assert (window.kind, window.minimum, window.maximum) == ("integer", 64, 4096)
    assert window.advanced
    assert not found["left"].advanced
    assert found["tta"].choices == ("1", "2", "4", "8")
    assert found["tta"].default == "1"
    assert found["output"].kind == "raster_output"
    assert found["in_flight"].label == "Batch"
    assert "(--batch)" in found["in_flight"].help
    export = {p.name: p for p in mapping.parameters(SPEC.commands["export"], SPEC.layers)}
    assert export["output"].filter.startswith("LAS (*.las);;LAZ (*.laz);;")


def test_bands_belong_to_their_raster() -> None:
    line = words(
        "evaluate", surface="a.tif", surface_band=3, reference="b.tif", reference_band=None
    )
    assert line == ["evaluate", "--reference", "b.tif", "--", "a.tif:3"]


def test_switches_and_repeated_options() -> None:
    line = words(
        "generate", image="i.tif", output="o.tif", reconcile=False, keep_voids=True, overlap=0.5,
        nodata=["red=0", "dem_prior=none"],
    )  # fmt: skip
    assert parsed("generate", image="i.tif", output="o.tif", reconcile=False)["reconcile"] is False
    assert line == [
        "generate", "--output", "o.tif", "--nodata", "red=0", "--nodata", "dem_prior=none",
        "--overlap", "0.5", "--no-reconcile", "--keep-voids", "--", "i.tif",
    ]  # fmt: skip


def test_layers_of_a_scene() -> None:
    line = words(
        "prepare", inputs_dsm="d.tif", inputs_red="r.tif", inputs=["ms.tif"], out="scene",
        equalise=False,
    )  # fmt: skip
    assert line == [
        "prepare", "--output", "scene", "--no-equalise", "--", "dsm=d.tif", "red=r.tif", "ms.tif",
    ]  # fmt: skip
    assert words("prepare", inputs_folder="asp", out="s")[-2:] == ["--", "asp"]


def test_files_whose_name_begins_with_a_dash() -> None:
    assert parsed("export", surface="-a.tif", output="o.las")["surface"] == "-a.tif"


def test_alternatives_are_checked() -> None:
    def fault(name: str, **values: Any) -> str:
        text: str = mapping.fault(SPEC.commands[name], SPEC.layers, values)
        return text

    assert fault("refine") == "Set 'DSM' or 'DSM: folder instead of a raster'."
    assert fault("refine", dsm="a", dsm_folder="b").startswith("Set only one of")
    assert fault("refine", dsm="a") == fault("refine", dsm_folder="a") == ""
    assert fault("certify", surface="a", points="p", points_layer="q").startswith("Set only one of")
    assert fault("prepare").startswith("Set 'DSM: initial digital surface model")
    assert fault("prepare", inputs=["a.tif"]) == ""


def test_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="the form is 2"):
        specification.parse({"format": 2})


def test_keys_of_a_newer_version_are_ignored() -> None:
    content = json.loads(json.dumps(describe(described(app))))
    content["new"] = content["commands"]["refine"]["options"][0]["new"] = 1
    assert specification.parse(content) == SPEC


def test_metadata() -> None:
    file = configparser.ConfigParser()
    file.read(FOLDER / "metadata.txt", encoding="utf-8")
    general = file["general"]
    assert general["version"] == __version__
    assert general["hasProcessingProvider"] == "yes"
    assert (FOLDER / general["icon"]).exists()
    assert (FOLDER / "LICENSE").read_text() == (FOLDER.parent.parent / "LICENSE").read_text()


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_the_oldest_python_of_qgis_reads_the_plugin(file: Any) -> None:
    ast.parse(file.read_text("utf-8"), feature_version=(3, 9))


def test_the_archive_holds_the_plugin(tmp_path: Any) -> None:
    path = tmp_path / "plugin.zip"
    subprocess.run([sys.executable, ROOT / "tools/qgis_plugin.py", path], check=True)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        metadata = archive.read("demiurge/metadata.txt")
    assert metadata == (FOLDER / "metadata.txt").read_bytes()
    files = {p for p in FOLDER.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert names == {p.relative_to(FOLDER.parent).as_posix() for p in files}
    assert {"demiurge/__init__.py", "demiurge/styles/hillshade.qml", "demiurge/LICENSE"} <= names
