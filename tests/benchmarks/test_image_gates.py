"""A generate bundle that does harm, or sees nothing, is not installed."""

import sys
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import importer, make_bundle, write_raster
from demiurge.errors import DataError
from demiurge.model.bundle import Bundle, load_bundle, save_bundle

SIDE, PIXEL = 120, 10.0
BANDS = ("red", "green", "blue")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    return importer(monkeypatch, "benchmarks")


def heights() -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (300 + 60 * np.sin(rows / 14) * np.cos(columns / 11) + 0.2 * rows).astype(np.float32)


@pytest.fixture
def data(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of real rasters with one kept-out place: dark valleys, bright ridges."""
    folder, places, gates = tmp_path / "data", script("image_places"), script("image_gates")
    folder.mkdir()
    frame = from_origin(500000, 4000000, PIXEL, PIXEL)
    shades = np.stack([heights() + 10 * k for k in range(3)])
    write_raster(folder / "image.tif", shades, names=list(BANDS), transform=frame)
    write_raster(folder / "dem.tif", heights(), transform=frame)
    toy = places.Place("toy", "kept out", (places.Take("image.tif", "dem.tif"),))
    monkeypatch.setattr(places, "PLACES", (toy,))
    monkeypatch.setattr(gates, "RATIOS", {4.0: (0.8, 1.0)})
    monkeypatch.setattr(gates, "COVERED", (0.85, 0.0))
    monkeypatch.setenv("DEMIURGE_DATA", str(folder))
    return folder


def run(script, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["gates.py", *(str(a) for a in arguments)])
    script("gates").main()


def refused(script, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(script, monkeypatch, *arguments)
    assert exit_.value.code == 3


def over_prior(path: Path, answer: float, accuracy: float | None) -> Bundle:
    """A bundle that adds an offset, of which the accuracy of its priors lets some through."""
    plain = make_bundle(
        path, task="generate", layers=("dem_prior", *BANDS), base="dem_prior", targets=("dtm",),
        answers=[answer, -3.0], pixel=(5, 20),
    )  # fmt: skip
    contract = plain.contract.model_copy(update={"prior_accuracy": accuracy})
    card = plain.card.model_copy(update={"contract": contract})
    return save_bundle(path, card, plain.graph(), plain.weights(), overwrite=True)


def test_a_bundle_that_makes_priors_worse_is_refused(
    script, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    installed = tmp_path / "generate.bundle"
    installed.write_bytes(b"as before")
    harmful = over_prior(tmp_path / "harmful.bundle", 2.0, 50.0)
    refused(script, monkeypatch, harmful.path, "--install", installed)
    text = capsys.readouterr()
    assert "first: toy: RMSE over the prior's, nothing stated, worst prior (4 times" in text.err
    assert installed.read_bytes() == b"as before"

    harmless = over_prior(tmp_path / "harmless.bundle", 0.0, None)
    run(script, monkeypatch, harmless.path, "--install", installed)
    table = load_bundle(installed).card.metrics["gates"]
    assert all(figure["holds"] for figure in table)
    assert len(table) == 4
    assert 0.3 < table[2]["value"] < 1, "an exact prior is sharpened"


def relative(path: Path, *, sees: bool) -> Bundle:
    """A bundle of relative heights: the brightness, or its negative."""
    from onnx import TensorProto, helper, numpy_helper

    plain = make_bundle(
        path, task="generate", layers=BANDS, base=None, targets=("dtm",), relative=True,
        pixel=(5, 20), window=128,
    )  # fmt: skip
    entries = [e.model_copy(update={"offset": 300.0, "scale": 50.0}) for e in plain.contract.layers]
    contract = plain.contract.model_copy(update={"layers": entries})
    weight = np.zeros((2, contract.channels, 1, 1), np.float32)
    weight[0, 0] = 1 if sees else -1
    shapes = [["n", contract.channels, "h", "w"], ["n", 2, "h", "w"]]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["planes", "weight"], ["answer"])], "shade",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(weight, "weight")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = plain.card.model_copy(update={"contract": contract})
    return save_bundle(path, card, model.SerializeToString(), plain.weights(), overwrite=True)


def test_relative_heights_without_skill_are_refused(
    script, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    installed = tmp_path / "generate-relative.bundle"
    inverted = relative(tmp_path / "inverted.bundle", sees=False)
    refused(script, monkeypatch, inverted.path, "--install", installed)
    assert "first: correlation with the truth, median of 1 images: -1" in capsys.readouterr().err
    assert not installed.exists()
    run(script, monkeypatch, relative(tmp_path / "sees.bundle", sees=True).path, "--install",
        installed)  # fmt: skip
    table = load_bundle(installed).card.metrics["gates"]
    assert table[0]["value"] > 0.9
    assert all(figure["holds"] for figure in table)


def test_places_of_the_training_do_not_judge(script, data: Path, tmp_path: Path) -> None:
    plain = make_bundle(tmp_path / "t.bundle", task="generate", layers=BANDS, base=None,
                        targets=("dtm",), relative=True)  # fmt: skip
    card = plain.card.model_copy(update={"provenance": {"scenes": [{"name": "toy_0"}]}})
    trained = save_bundle(plain.path, card, plain.graph(), plain.weights(), overwrite=True)
    with pytest.raises(DataError, match="holds no place of"):
        script("image_gates").measure(trained, data)


def test_bundles_without_limits_are_refused(
    script, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    above = make_bundle(tmp_path / "h.bundle", task="generate", layers=BANDS, base=None,
                        targets=("height",))  # fmt: skip
    with pytest.raises(SystemExit) as exit_:
        run(script, monkeypatch, above.path)
    assert exit_.value.code == 2
    assert "no limits are known for bundle 'h'" in capsys.readouterr().err


def test_limits_name_the_worst_prior_of_each_place(script) -> None:
    def row(ratio: float, covered: float = 0.9) -> dict[str, float]:
        return {"ratio": ratio, "stated": 0.9, "covered": covered}

    gates = script("image_gates").prior_gates({
        ("a", 3.0, 0.0): row(0.9), ("a", 3.0, 3.0): row(1.2), ("a", 10.0, 0.0): row(0.8),
        ("b", 3.0, 0.0): row(0.7), ("b", 3.0, 3.0): row(1.0), ("b", 10.0, 0.0): row(0.8, 0.5),
    })  # fmt: skip
    broken = [gate.name for gate in gates if not gate.holds]
    assert broken == [
        "a: RMSE over the prior's, nothing stated, worst prior (3 times, noise 3 m)",
        "share in the 90 % interval, least (b, 10 times, 0 m)",
    ]
    assert not script("image_gates").relative_gates({"a": (float("nan"), 1.0)})[0].holds
