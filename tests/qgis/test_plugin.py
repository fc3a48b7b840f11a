"""The plugin in QGIS, without a window: each algorithm gives the pixels of the command line."""

import contextlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from plugin_parts import FOLDER, program, without_settings

from conftest import CRS, LEFT, TOP, make_bundle, terrain, write_raster
from demiurge.cli.main import run

#: Debian's wrapper passes an option that qgis_process does not know.
QGIS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
pytestmark = pytest.mark.skipif(QGIS is None, reason="QGIS is not installed")


class Desk:
    """QGIS with the plugin, and the command line that the plugin runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = program(folder)
        self.environment = without_settings(folder) | {
            "QT_QPA_PLATFORM": "offscreen",
            "QGIS_PLUGINPATH": str(FOLDER.parent),
            "DEMIURGE": str(self.program),
        }
        self.call("plugins", "enable", "demiurge")

    def call(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        assert QGIS is not None
        return subprocess.run(
            [QGIS, *words],
            capture_output=True, text=True, timeout=300, env=self.environment | environment,
        )  # fmt: skip

    def run(self, name: str, **values: Any) -> str:
        """Run an algorithm that succeeds; return its log."""
        words = [f"--{key}={value}" for key, value in values.items()]
        done = self.call("run", f"demiurge:{name}", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run_all(self, runs: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, str]:
        """Run algorithms in one process of QGIS; return their logs by the keys."""
        file = self.folder / "runs.json"
        file.write_text(json.dumps(list(runs.values()), default=str))
        done = subprocess.run(
            ["/usr/bin/python3", Path(__file__).with_name("run_algorithms.py"), file],
            capture_output=True, text=True, timeout=600, env=self.environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(zip(runs, json.loads(file.read_text()), strict=True))

    def command(self, *words: Any) -> str:
        """Run the command line in this process; return what it prints."""
        with io.StringIO() as printed, contextlib.redirect_stdout(printed):
            with pytest.raises(SystemExit) as ended:
                run([str(word) for word in words])
            assert ended.value.code == 0
            return printed.getvalue()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("qgis"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rasters of a place, and bundles for both tasks."""
    folder, heights = tmp_path_factory.mktemp("files"), terrain()
    rng = np.random.default_rng(3)
    dsm = heights + rng.normal(0, 0.3, heights.shape).astype(np.float32)
    dsm[40:50, 60:80] = -9999
    image = rng.integers(1, 255, (3, *heights.shape)).astype(np.uint8)
    coarse = rasterio.Affine(16, 0, LEFT, 0, -16, TOP)
    rows = [
        f"{LEFT + 2 * c + 1},{TOP - 2 * r - 1},{heights[r, c]}"
        for r, c in rng.integers(0, 150, (60, 2))
    ]
    (folder / "points.csv").write_text("\n".join(["x,y,z", *rows]))
    names = ["red", "green", "blue"]
    make_bundle(folder / "r.bundle", targets=("dsm", "dtm"))
    make_bundle(
        folder / "g.bundle", task="generate", layers=(*names, "dem_prior"), base="dem_prior"
    )
    return {
        "dsm": write_raster(folder / "dsm.tif", dsm, nodata=-9999, unit="m"),
        "truth": write_raster(folder / "truth.tif", heights, unit="m"),
        "image": write_raster(folder / "image.tif", image, names=names),
        "prior": write_raster(
            folder / "prior.tif", heights[4::8, 4::8], transform=coarse, unit="m"
        ),
        "points": folder / "points.csv",
        "refine": folder / "r.bundle",
        "generate": folder / "g.bundle",
        "surface": folder / "surface.tif",
    }  # fmt: skip


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        read: np.ndarray = dataset.read()
    return read


def same(first: Path, second: Path) -> None:
    with rasterio.open(first) as a, rasterio.open(second) as b:
        assert (a.crs, a.transform, a.descriptions) == (b.crs, b.transform, b.descriptions)
    assert np.isfinite(pixels(first)).any()
    np.testing.assert_array_equal(pixels(first), pixels(second))


def test_algorithms_are_listed_with_the_parameters_of_the_command_line(desk: Desk) -> None:
    listed = set(re.findall(r"demiurge:(\w+)", desk.call("list").stdout))
    assert {"refine", "generate", "prepare", "evaluate", "export", "certify"} <= listed
    card = json.loads(desk.command("options", "refine", "--json"))["commands"]["refine"]
    text = desk.call("help", "demiurge:refine").stdout
    shown = set(re.findall(r"^(\w+): ", text.partition("Arguments\n")[2], re.MULTILINE))
    assert {option["name"] for option in card["options"]} - {"quiet", "view"} <= shown


def test_refine(desk: Desk, files: dict[str, Path], tmp_path: Path) -> None:
    log = desk.run(
        "refine", dsm=files["dsm"], bundle=files["refine"], window=96, overlap=0.5,
        any_input="true", output=tmp_path / "q.tif",
    )  # fmt: skip
    words = ("--bundle", files["refine"], "--window", 96, "--overlap", 0.5, "--any-input")
    desk.command("refine", files["dsm"], *words, "-o", tmp_path / "c.tif")
    same(tmp_path / "q.tif", tmp_path / "c.tif")
    assert "dsm, dsm_uncertainty, dtm, dtm_uncertainty" in log, "the summary is in the log"
    assert "--window 96" in log, "the command line is in the log"


@pytest.fixture(scope="module")
def surface(desk: Desk, files: dict[str, Path]) -> Path:
    words = ("--bundle", files["refine"], "--any-input", "-o", files["surface"])
    desk.command("refine", files["dsm"], *words)
    return files["surface"]


@pytest.fixture(scope="module")
def logs(desk: Desk, files: dict[str, Path], surface: Path) -> dict[str, str]:
    """Run algorithms into the folder ``ran``; return their logs."""
    folder = desk.folder / "ran"
    folder.mkdir()
    layer = folder / "points.gpkg"
    names = (f"{axis.upper()}_POSSIBLE_NAMES={axis}" for axis in "xyz")
    options = [word for name in names for word in ("-oo", name)]
    convert = ["ogr2ogr", *options, "-a_srs", CRS, str(layer), str(files["points"])]
    subprocess.run(convert, check=True, env=desk.environment)
    certified = {"surface": surface, "confidence": 0.9, "allow_offset": True}
    anything = {"any_pixel_size": True, "any_input": True}
    return desk.run_all({
        "generate": ("generate", {
            "image": files["image"], "prior": files["prior"], "bundle": files["generate"],
            "detail": 1, "output": folder / "generated.tif",
        }),
        "prepare": ("prepare", {
            "inputs_dsm": files["dsm"], "inputs_truth_dsm": files["truth"],
            "inputs": [str(files["image"])], "gsd": 4, "out": folder / "scene",
        }),
        "refine": ("refine", {
            "dsm_folder": folder / "scene", "bundle": files["refine"], **anything,
            "output": folder / "refined.tif",
        }),
        "evaluate": ("evaluate", {
            "surface": surface, "surface_band": 3, "reference": files["truth"],
            "baseline": files["dsm"], "allow_offset": True,
            "json_file": folder / "evaluated.json", "report": folder / "evaluated.html",
        }),
        "certify": ("certify", {
            "points": files["points"], **certified, "points_crs": CRS,
            "output": folder / "certified.tif", "json_file": folder / "certified.json",
        }),
        "layer": ("certify", {
            "points_layer": layer, **certified, "json_file": folder / "layer.json",
        }),
        "export": ("export", {
            "surface": surface, "band": 3, "tolerance": 0.5, "image": files["image"],
            "output": folder / "exported.laz",
        }),
    })  # fmt: skip


@pytest.fixture
def ran(desk: Desk, logs: dict[str, str]) -> Path:
    return desk.folder / "ran"


def test_generate(desk: Desk, files: dict[str, Path], ran: Path, tmp_path: Path) -> None:
    words = ("--prior", files["prior"], "--bundle", files["generate"], "--detail", 1)
    desk.command("generate", files["image"], *words, "-o", tmp_path / "c.tif")
    same(ran / "generated.tif", tmp_path / "c.tif")


def test_prepare_and_a_scene_folder(
    desk: Desk, files: dict[str, Path], ran: Path, tmp_path: Path
) -> None:
    layers = [f"dsm={files['dsm']}", f"truth_dsm={files['truth']}", files["image"]]
    desk.command("prepare", *layers, "--gsd", 4, "-o", tmp_path / "c")
    rasters = sorted(p.name for p in (tmp_path / "c").glob("*.tif"))
    assert rasters == sorted(p.name for p in (ran / "scene").glob("*.tif"))
    assert rasters
    for name in rasters:
        same(ran / "scene" / name, tmp_path / "c" / name)
    flags = ("--bundle", files["refine"], "--any-pixel-size", "--any-input")
    desk.command("refine", tmp_path / "c", *flags, "-o", tmp_path / "c.tif")
    same(ran / "refined.tif", tmp_path / "c.tif")


def test_evaluate(
    desk: Desk, files: dict[str, Path], surface: Path, logs: dict[str, str], ran: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    words = ("--reference", files["truth"], "--baseline", files["dsm"], "--allow-offset")
    shown = desk.command("evaluate", f"{surface}:3", *words, "--json", tmp_path / "c.json")
    assert json.loads((ran / "evaluated.json").read_text()) == json.loads(
        (tmp_path / "c.json").read_text()
    )
    assert (ran / "evaluated.html").stat().st_size > 10_000
    assert "all pixels: surface MAE" in logs["evaluate"]
    assert "all pixels: surface MAE" in shown


def test_certify_with_a_file_and_with_a_layer(
    desk: Desk, files: dict[str, Path], surface: Path, ran: Path, tmp_path: Path
) -> None:
    flags = ("--confidence", 0.9, "--points-crs", CRS, "--allow-offset")
    words = ("--map", tmp_path / "c.tif", "--json", tmp_path / "c.json")
    desk.command("certify", surface, "--points", files["points"], *flags, *words)
    same(ran / "certified.tif", tmp_path / "c.tif")
    given, by_layer, expected = (
        json.loads(path.read_text())["figures"]
        for path in (ran / "certified.json", ran / "layer.json", tmp_path / "c.json")
    )
    assert given == expected
    for name, figure in expected.items():
        assert by_layer[name]["value"] == pytest.approx(figure["value"], abs=1e-4)


def test_export(
    desk: Desk, files: dict[str, Path], surface: Path, ran: Path, tmp_path: Path
) -> None:
    import laspy

    words = ("--band", 3, "--thin", 0.5, "--image", files["image"], "-o", tmp_path / "c.laz")
    desk.command("export", surface, *words)
    first, second = laspy.read(ran / "exported.laz"), laspy.read(tmp_path / "c.laz")
    assert len(first.points) == len(second.points) > 100
    for axis in ("x", "y", "z", "red"):
        np.testing.assert_array_equal(first[axis], second[axis])


def test_the_sentence_of_demiurge_is_the_error(
    desk: Desk, files: dict[str, Path], tmp_path: Path
) -> None:
    done = desk.call(
        "run", "demiurge:refine", f"--dsm={files['dsm']}", f"--bundle={files['generate']}",
        f"--output={tmp_path / 'q.tif'}",
    )  # fmt: skip
    assert done.returncode != 0
    direct = subprocess.run(
        [desk.program, "refine", files["dsm"], "--bundle", files["generate"], "-o",
         tmp_path / "c.tif"],
        capture_output=True, text=True,
    )  # fmt: skip
    sentence = direct.stderr.strip().removeprefix("demiurge: ")
    assert len(sentence) > 20
    assert sentence.partition(";")[0] in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_alternatives_are_refused_before_the_run(desk: Desk, tmp_path: Path) -> None:
    done = desk.call("run", "demiurge:refine", f"--output={tmp_path / 'q.tif'}")
    assert done.returncode != 0
    assert "Set 'DSM' or 'DSM: folder instead of a raster'." in done.stdout + done.stderr


def test_without_demiurge_the_algorithms_say_what_to_do(desk: Desk, files: dict[str, Path]) -> None:
    done = desk.call("run", "demiurge:refine", f"--dsm={files['dsm']}", DEMIURGE="/no/such")
    assert done.returncode != 0
    assert "'/no/such' (in $DEMIURGE) is no program" in done.stdout + done.stderr


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_run_is_cancelled_and_results_are_loaded_with_their_styles(
    desk: Desk, surface: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """Heights lie under a hillshade that is multiplied with them; other bands are hidden."""
    done = subprocess.run(
        ["/usr/bin/python3", Path(__file__).with_name("load_results.py"), tmp_path, files["dsm"],
         files["refine"]],
        capture_output=True, text=True, timeout=300, env=desk.environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    cancelled = json.loads((tmp_path / "cancelled.json").read_text())
    assert cancelled["lines"], "it ran"
    assert (cancelled["result"], cancelled["left"]) == ({}, [])
    layers = json.loads((tmp_path / "layers.json").read_text())
    assert {layer["name"].partition(": ")[0] for layer in layers} == {"surface"}
    names = [layer["name"].partition(": ")[2] for layer in layers]
    facts = [(layer["type"], layer["band"], layer["visible"]) for layer in layers]
    assert list(zip(names, facts, strict=True)) == [
        ("dsm hillshade", ("hillshade", 1, True)),
        ("dsm", ("singlebandpseudocolor", 1, True)),
        ("dsm_uncertainty", ("singlebandpseudocolor", 2, False)),
        ("dtm hillshade", ("hillshade", 3, False)),
        ("dtm", ("singlebandpseudocolor", 3, False)),
        ("dtm_uncertainty", ("singlebandpseudocolor", 4, False)),
    ]  # fmt: skip
    heights = pixels(surface)[0]
    assert layers[0]["blend"] == "multiply"
    assert layers[1]["range"] == pytest.approx(np.nanquantile(heights, [0.02, 0.98]), abs=0.5)
    with rasterio.open(tmp_path / "map.png") as picture:
        colours = picture.read()[:3].reshape(3, -1)
    assert len(np.unique(colours, axis=1).T) > 500, "shaded colours, not one tone"
