"""Errors of users: one sentence, the right exit code, and no partial output."""

import contextlib
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine, from_origin

from conftest import LEFT, TOP, make_bundle, terrain, write_raster
from demiurge.cli.main import run
from demiurge.scene.prepare import prepare

Case = tuple[str, int, str]


@pytest.fixture
def place(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the files into a folder and change to it."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEMIURGE_BUNDLES", raising=False)
    # Imports that take seconds on a busy machine print no lines of progress.
    monkeypatch.setattr("demiurge.progress._FIRST", 600.0)
    return tmp_path


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write valid and invalid files, once for all tests."""
    folder = tmp_path_factory.mktemp("originals")
    with contextlib.chdir(folder):
        write_files()
    return folder


def write_files() -> None:
    nan = np.full((160, 192), np.nan, np.float32)
    write_raster(Path("dsm.tif"), terrain())
    write_raster(Path("truth.tif"), terrain())
    write_raster(Path("left.tif"), terrain().astype(np.uint16))
    write_raster(Path("empty.tif"), nan)
    write_raster(Path("zero.tif"), terrain() * 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        write_raster(Path("bare.tif"), terrain(), crs=None, transform=Affine.identity())
    write_raster(Path("feet.tif"), terrain(), unit="US survey foot")
    write_raster(Path("nocrs.tif"), terrain(), crs=None)
    write_raster(Path("far.tif"), terrain(), transform=from_origin(LEFT + 1e5, TOP, 2, 2))
    write_raster(Path("egm96.tif"), terrain(), crs="EPSG:32633+5773")
    write_raster(Path("egm08.tif"), terrain(), crs="EPSG:32633+3855")
    write_raster(Path("coarse.tif"), terrain(), transform=from_origin(LEFT, TOP, 30, 30))
    write_raster(Path("rgb.tif"), np.ones((3, 64, 64), np.uint8), photometric="RGB")
    write_raster(Path("three.tif"), np.ones((3, 64, 64), np.float32))
    write_raster(Path("complex.tif"), terrain().astype(np.complex64))
    complete = write_raster(Path("complete.tif"), terrain(), compress="deflate")
    Path("cut.tif").write_bytes(complete.read_bytes()[:-30000])
    Path("text.tif").write_text("this is no raster")
    Path("there.tif").write_text("dear")
    Path("folder").mkdir()
    prepare({"dsm": "dsm.tif", "truth_dsm": "truth.tif"}, "scene")
    prepare({"dsm": "dsm.tif"}, "untrue")
    Path("broken").mkdir()
    Path("broken/scene.yaml").write_text("layers: [")
    make_bundle(Path("refine.bundle"))
    make_bundle(Path("stereo.bundle"), layers=("dsm", "ortho_left"))
    make_bundle(
        Path("gen.bundle"), task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",),
    )  # fmt: skip
    make_bundle(Path("bad_graph.bundle"), graph=b"nonsense")
    content = Path("refine.bundle").read_bytes()
    Path("short.bundle").write_bytes(content[:-200])
    Path("pickle.bundle").write_bytes(pickle.dumps({"weights": 1}))
    with zipfile.ZipFile("torch.bundle", "w") as archive:
        archive.writestr("model/data.pkl", b"x")
    Path("night.yaml").write_text("light: {elevation: -10}\n")
    Path("recipe.yaml").write_text("task: refine\nlayers: [dsm]\ntargets: [dsm]\nepocs: 3\n")


REFINE = "refine dsm.tif -o out.tif --bundle refine.bundle"
GENERATE = "generate rgb.tif --prior dsm.tif -o out.tif --bundle gen.bundle"

CASES: list[Case] = [
    # Usage: 2
    ("refine dsm.tif", 2, "Missing option"),
    ("refine dsm.tif -o out.tif --nonsense", 2, "No such option"),
    ("nonsense", 2, "No such command"),
    (f"{REFINE} --target roof", 2, "--target is 'roof'"),
    (f"{REFINE} --target dtm", 2, "predicts no dtm"),
    (f"{REFINE} --window 100", 2, "--window is 100"),
    (f"{REFINE} --overlap 1.5", 2, "--overlap is 1.5"),
    (f"{REFINE} --batch 0", 2, "batch"),
    ("refine dsm.tif -o out.vrt --bundle refine.bundle", 2, "a virtual mosaic needs --cluster"),
    (f"{REFINE} --tta 3", 2, "--tta is 3"),
    (f"{REFINE} --runtime abacus", 2, "--runtime is 'abacus'"),
    (f"{REFINE} --runtime onnxruntime --precision bf16", 4, "computes in f32 alone"),
    (f"{REFINE} --cluster here", 2, "write local:N"),
    (f"{REFINE} --cluster local:many", 2, "write local:4"),
    (f"{REFINE} --precision f16", 2, "--precision is 'f16'"),
    ("refine dsm.tif -o there.tif --bundle refine.bundle", 2, "exists already"),
    ("refine dsm.tif -o out.tif --bundle gen.bundle", 2, "was trained to generate"),
    ("refine dsm.tif -o out.tif --bundle stereo.bundle", 2, "give it with --left"),
    ("refine scene --left left.tif -o out.tif --bundle refine.bundle", 2, "cannot be added"),
    ("refine scene --adjust -o out.tif --bundle refine.bundle", 2, "cannot be used with a scene"),
    (f"{REFINE} --left left.tif --left-rpc text.tif", 2, "left.tif: is georeferenced"),
    (f"{REFINE} --left left.tif --shift-left 3,-2", 2, "--shift-left is for raw images"),
    (f"{REFINE} --left left.tif --shift-left 3", 2, "--shift-left 3: is not a shift"),
    (f"{REFINE} --left left.tif --adjust", 2, "--adjust needs two raw images"),
    (f"{REFINE} --left left.tif --no-occlusions", 2, "--no-occlusions is given, but no"),
    (f"{REFINE} --right-adjust text.tif", 2, "'ortho_right', but its image is not"),
    (f"{REFINE} --left bare.tif", 3, "with --left-rpc FILE (prepare: --rpc ortho_left=FILE)"),
    (f"{REFINE} --left bare.tif --left-rpc text.tif", 3, "contains no RPC value LINE_OFF"),
    (f"{REFINE} --left bare.tif --left-rpc no.xml", 4, "no.xml: cannot be read"),
    ("prepare dsm=dsm.tif ortho_left=bare.tif --rpc bare -o s", 2, "names no layer and file"),
    ("prepare dsm=dsm.tif ortho_left=left.tif --rpc ortho_left=text.tif -o s", 2, "an RPC file"),
    ("refine dsm.tif -o folder --bundle refine.bundle --overwrite", 2, "is a folder"),
    ("refine dsm.tif -o out.png --bundle refine.bundle", 2, "name it with one of .tif"),
    ("refine dsm.tif -o out --bundle refine.bundle", 2, "no suffix"),
    ("refine dsm.tif -o dsm.tif --bundle refine.bundle --overwrite", 2, "is an input"),
    ("export dsm.tif -o out.tif", 2, "name it with one of .las"),
    ("export dsm.tif -o out.ply --band 2", 2, "has no band 2"),
    ("export feet.tif -o out.ply", 3, "0.3048"),
    ("export nocrs.tif -o out.glb", 3, "no coordinate reference system"),
    ("export dsm.tif -o out.glb --image far.tif", 3, "has no colour on the surface"),
    ("evaluate dsm.tif --reference truth.tif --report r.pdf", 2, "name it with one of .html"),
    ("evaluate dsm.tif --reference truth.tif --json r.csv", 2, "name it with one of .json"),
    ("train scene -o m.pt", 2, "name it with one of .bundle"),
    ("generate rgb.tif -o out.tif --bundle gen.bundle", 2, "give it with --prior"),
    ("generate three.tif -o out.tif --bundle gen.bundle", 2, "no layer is recognised"),
    ("generate rgb.tif -o out.tif --bundle gen.bundle --bands red", 2, "is no band"),
    ("generate rgb.tif -o out.tif --bundle gen.bundle --bands rad=1", 2, "did you mean 'red'"),
    (f"{GENERATE} --prior-accuracy -1", 2, "--prior-accuracy is -1"),
    (f"{GENERATE} --detail 2", 2, "--detail is 2"),
    ("prepare dms=dsm.tif -o s", 2, "no layer called 'dms'"),
    ("prepare three.tif -o s", 2, "no layer is recognised"),
    ("prepare dsm= -o s", 2, "names no file"),
    ("prepare dsm=dsm.tif dsm=far.tif -o s", 2, "given twice"),
    ("prepare dsm=dsm.tif -o s --gsd 0", 2, "pixel size is 0"),
    ("prepare dsm=dsm.tif -o s --gsd -3", 2, "pixel size is -3"),
    ("prepare dsm=dsm.tif -o s --gsd 5000", 2, "exceeds the area"),
    ("prepare dsm=dsm.tif -o s --gsd 0.0000001", 2, "choose a larger --gsd"),
    ("prepare dsm=dsm.tif -o s --crs EPSG:nothing", 2, "is not a CRS"),
    ("prepare dsm=dsm.tif -o s --crs EPSG:4326", 2, "not projected in metres"),
    ("prepare dsm=dsm.tif -o s --extent 1,2,3,x", 2, "are not numbers"),
    ("prepare dsm=dsm.tif -o s --extent 9,2,3,4", 2, "is empty"),
    ("prepare dsm=dsm.tif -o scene", 2, "exists already"),
    ("prepare dsm=dsm.tif -o folder --overwrite", 2, "is not an output of this command"),
    ("check broken", 2, "not valid YAML"),
    ("train scene -o m.bundle --recipe recipe.yaml", 2, "epocs: is not a known key"),
    ("train scene -o m.bundle --set chips.sice=4", 2, "chips.sice: is not a known key"),
    ("train untrue -o m.bundle --set optional=[] --set layers=[dsm]", 2, "'truth_dsm'"),
    ("train scene -o m.bundle --devices none", 2, "--devices is 'none'"),
    ("train scene -o m.bundle --resume", 2, "no training to resume"),
    ("simulate -o s --size 10", 2, "size"),
    ("simulate -o s --gsd 0", 2, "gsd"),
    ("simulate -o s --style moon", 2, "--style is 'moon'"),
    ("simulate -o s --sites 0", 2, "--sites is 0"),
    ("simulate -o s --config night.yaml", 2, "light.elevation"),
    ("simulate -o scene", 2, "exists already"),
    ("simulate -o s --size -5", 2, "size"),
    ("simulate -o s --family radar", 2, "choose stereo or optical"),
    ("simulate -o s --family optical --style town", 2, "choose plain, hills, forest, alpine, arid"),
    ("simulate -o s --family optical --gsd 0.5", 2, "gsd"),
    ("simulate -o s --albedo dsm.tif", 2, "--albedo is given without --surface"),
    ("simulate -o s --family optical --surface dsm.tif", 2, "--surface is for --family stereo"),
    ("simulate -o s --surface dsm.tif --terrain-only", 2, "omit one of them"),
    ("simulate -o s --surface nosuch.tif", 4, "no such file"),
    ("simulate -o s --surface dsm.tif --albedo nosuch.tif --size 64", 4, "no such file"),
    ("simulate -o no/such/s", 4, "there is no folder"),
    ("simulate -o s --terrain nocrs.tif", 3, "no coordinate reference system"),
    ("simulate -o s --terrain dsm.tif --gsd 2", 3, "with its margin needs"),
    # Data: 3
    ("refine text.tif -o out.tif --bundle refine.bundle", 3, "not a raster"),
    ("generate rgb.tif -o out.tif", 3, "its pixel size of 2 m is outside"),
    ("refine folder/../text.tif -o out.tif --bundle refine.bundle", 3, "not a raster"),
    ("refine cut.tif -o out.tif --bundle refine.bundle", 3, "cannot be read"),
    ("refine empty.tif -o out.tif --bundle refine.bundle", 3, "contains only no data"),
    ("refine feet.tif -o out.tif --bundle refine.bundle", 3, "in metres"),
    ("refine nocrs.tif -o out.tif --bundle refine.bundle", 3, "no coordinate reference system"),
    ("refine complex.tif -o out.tif --bundle refine.bundle", 3, "is complex"),
    ("refine coarse.tif -o out.tif --bundle refine.bundle", 3, "outside the range of bundle"),
    ("refine coarse.tif -o out.tif", 3, "outside the range of bundle"),
    ("refine dsm.tif --left far.tif -o out.tif --bundle stereo.bundle", 3, "does not overlap"),
    ("refine dsm.tif --ndvi dsm.tif -o out.tif --bundle ndvi.bundle", 3, "exceeds -1"),
    ("refine dsm.tif -o out.tif --bundle short.bundle", 3, "cut short"),
    ("refine dsm.tif -o out.tif --bundle pickle.bundle", 3, "is a pickle"),
    ("refine dsm.tif -o out.tif --bundle torch.bundle", 3, "PyTorch checkpoint"),
    ("refine dsm.tif -o out.tif --bundle dsm.tif", 3, "is not a bundle"),
    ("refine dsm.tif -o out.tif --bundle bad_graph.bundle", 3, "cannot be run"),
    ("prepare dsm=dsm.tif ortho_left=far.tif -o s", 3, "do not overlap"),
    ("prepare dsm=empty.tif -o s", 3, "has no data within"),
    ("prepare dsm=dsm.tif:4 -o s", 3, "has no band 4"),
    ("prepare dsm=egm96.tif truth_dsm=egm08.tif -o s", 3, "EGM2008"),
    ("prepare dsm=folder -o s", 3, "is a folder"),
    ("check dsm.tif", 3, "is not a scene"),
    ("check folder", 3, "nor recognised as the output of a tool"),
    ("check scene --as asp", 2, "no effect on a scene"),
    ("prepare folder -o s", 3, "nor recognised as the output of a tool"),
    ("prepare folder --as cars -o s", 3, "contains no output of CARS"),
    ("prepare folder --as carz -o s", 2, "choose asp, cars"),
    ("prepare dsm=dsm.tif --as asp -o s", 2, "no folder is given"),
    ("prepare dsm=dsm.tif --source-crs EPSG:32633 -o s", 2, "no folder is given"),
    ("evaluate dsm.tif --reference far.tif", 3, "do not overlap"),
    ("evaluate dsm.tif --reference empty.tif", 3, "share no pixel"),
    ("evaluate dsm.tif --reference feet.tif", 3, "in metres"),
    ("evaluate egm96.tif --reference egm08.tif", 3, "EGM96"),
    # Resources: 4
    ("refine no.tif -o out.tif --bundle refine.bundle", 4, "no such file"),
    ("refine dsm.tif --left no.tif -o out.tif --bundle stereo.bundle", 4, "no such file"),
    ("refine dsm.tif -o out.tif --bundle no.bundle", 4, "no such bundle"),
    ("generate rgb.tif -o out.tif --bundle genrate", 4, "genrate"),
    ("refine dsm.tif -o no/out.tif --bundle refine.bundle", 4, "there is no folder"),
    ("refine dsm.tif -o /proc/out.tif --bundle refine.bundle", 4, "cannot be written"),
    ("refine folder -o out.tif --bundle refine.bundle", 3, "is not a scene"),
    ("check nowhere", 4, "no such scene"),
    ("train scene -o m.bundle --recipe none", 4, "no such recipe"),
    ("evaluate dsm.tif --reference truth.tif --json no/e.json", 4, "there is no folder"),
    ("bundle info no.bundle", 4, "no such bundle"),
]  # fmt: skip


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("command", "code", "message"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_one_sentence_one_code_no_files(
    place: Path, command: str, code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if "ndvi.bundle" in command:
        make_bundle(Path("ndvi.bundle"), layers=("dsm", "ndvi"))
    before = tree(place)
    with pytest.raises(SystemExit) as caught:
        run(command.split())
    error = capfd.readouterr().err
    assert caught.value.code == code, error
    assert message in error
    assert error.startswith("demiurge: ")
    assert error.count("\n") == 1, "one line"
    assert error.rstrip().endswith(".")
    assert "Traceback" not in error
    assert tree(place) == before, "no file is written, changed or left"


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 40


def test_south_up_grids_are_accepted(place: Path) -> None:
    """A south-up raster gives a north-up result."""
    south_up = rasterio.Affine(2, 0, LEFT, 0, 2, TOP - 320)
    write_raster(Path("south.tif"), terrain()[::-1], transform=south_up)
    with pytest.raises(SystemExit) as caught:
        run(["refine", "south.tif", "-o", "out.tif", "--bundle", "refine.bundle", "-q"])
    assert caught.value.code == 0
    with rasterio.open("out.tif") as file:
        assert file.transform.e < 0
        np.testing.assert_allclose(file.read(1), terrain() + 5, atol=1e-3)


def test_degrees_are_reprojected_with_a_note(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    degrees = from_origin(15.0, 36.0, 2.2e-5, 1.8e-5)
    write_raster(Path("deg.tif"), terrain(), crs="EPSG:4326", transform=degrees)
    command = "refine deg.tif -o out.tif --bundle refine.bundle --any-pixel-size"
    with pytest.raises(SystemExit) as caught:
        run(command.split())
    assert caught.value.code == 0
    assert "reprojected to EPSG:32633" in capfd.readouterr().err


def test_a_bug_is_reported_and_exits_with_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> Callable[..., None]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("demiurge.predict.job.tile", fail)
    with pytest.raises(SystemExit) as caught:
        run(REFINE.split())
    assert caught.value.code == 1
    assert "this is a bug in demiurge" in capfd.readouterr().err


def test_a_full_disk_leaves_no_files(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("demiurge.predict.tiling.Blender.take", full)
    before = tree(place)
    with pytest.raises(SystemExit) as caught:
        run(REFINE.split())
    assert caught.value.code == 4
    assert "space" in capfd.readouterr().err.lower()
    assert tree(place) == before
