"""Files of a finished surface: no finished rows are lost, no files of the user are replaced."""

import datetime as dt
import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from conftest import LEFT, PIXEL, TOP, make_bundle, terrain, write_raster
from demiurge.cli.main import run
from demiurge.errors import ResourceError, UsageError
from demiurge.predict.api import generate, refine
from demiurge.predict.checkpoint import Checkpoint
from demiurge.predict.job import Job
from demiurge.predict.options import Options
from demiurge.scene.camera import Direction
from demiurge.scene.prepare import prepare


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_raster(Path("dsm.tif"), terrain())
    write_raster(Path("WV03.tif"), (terrain() * 7).astype(np.uint16))
    make_bundle(Path("a.bundle"))
    make_bundle(Path("stereo.bundle"), layers=("dsm", "ortho_left"))
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def never(*_: object, **__: object) -> None:
    raise AssertionError("finished rows are predicted again")


def test_a_full_disk_while_finishing_keeps_the_rows(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("demiurge.predict.surface.halved", full)
        with pytest.raises(ResourceError, match="No space left"):
            refine("dsm.tif", "out.tif", bundle="a.bundle", options=Options(stac=True))
    assert [p.name for p in place.glob("out*")] == []
    monkeypatch.setattr(Job, "predict", never)
    refine("dsm.tif", "out.tif", bundle="a.bundle", options=Options(stac=True))
    assert sorted(p.name for p in place.glob("*out*")) == ["out.stac.json", "out.tif"]


@pytest.mark.parametrize("name", ["out.laz", "out.ply", "out.glb", "out.OBJ"])
def test_clouds_and_meshes_are_refused(place: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"run: demiurge export out\.tif -o {name}"):
        refine("dsm.tif", name, bundle="a.bundle")
    assert not list(place.glob("*out*"))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_item_without_georeference_has_no_geometry(place: Path) -> None:
    rgb = np.stack([terrain() * k for k in (1, 1.2, 1.4)]).astype(np.uint8)
    write_raster(Path("photo.tif"), rgb, crs=None, transform=rasterio.Affine.identity())
    make_bundle(
        Path("gen.bundle"), task="generate", layers=("red", "green", "blue"), base=None,
        relative=True,
    )  # fmt: skip
    options = Options(stac=True)
    generate("photo.tif", "m.tif", gsd=2.0, bundle="gen.bundle", options=options)
    assert valid(Path("m.stac.json"))["geometry"] is None


# ---- STAC


def valid(path: Path) -> dict[str, Any]:
    """Return an item that pystac validates against the schema of STAC 1.1."""
    pystac = pytest.importorskip("pystac")
    pytest.importorskip("jsonschema")
    from pystac.validation import validate_dict

    item: dict[str, Any] = json.loads(path.read_text())
    validate_dict(item, extensions=[])  # those of extensions are on the network
    read = pystac.Item.from_dict(item)
    for asset in read.assets.values():
        assert (path.parent / asset.href).exists()
    return item


def test_items_are_valid_and_point_at_the_surface(place: Path) -> None:
    name = "out.tif"
    refine("dsm.tif", name, bundle="a.bundle", options=Options(stac=True))
    assert sorted(p.name for p in place.glob("*out*")) == sorted([name, "out.stac.json"])
    item = valid(Path("out.stac.json"))
    assert item["stac_version"] == "1.1.0"
    (asset,) = item["assets"].values()
    assert asset["href"] == f"./{name}"
    assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert any("/raster/" in uri for uri in item["stac_extensions"])
    assert [b["name"] for b in asset["bands"]] == ["dsm", "dsm_uncertainty"]
    assert {b["data_type"] for b in asset["bands"]} == {"float32"}
    # Without acquisition times the time of processing is given.
    made = item["properties"]["created"]
    assert item["properties"]["datetime"] == made
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(made)
    assert abs(age) < dt.timedelta(minutes=10)
    west, south, east, north = item["bbox"]
    assert 14.9 < west < east < 15.1
    assert 36 < south < north < 36.2


def test_an_item_has_the_acquisition_time(place: Path) -> None:
    with rasterio.open("WV03.tif", "r+") as file:
        file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2019-05-01 10:20:30")
        file.update_tags(TIFFTAG_DATETIME="2024:01:01 00:00:00")
    how = {"bundle": "stereo.bundle", "options": Options(stac=True)}
    refine("dsm.tif", "a.tif", left="WV03.tif", **how)
    found = valid(Path("a.stac.json"))["properties"]
    assert found["datetime"] == "2019-05-01T10:20:30Z"
    assert found["created"] > "2020"
    prepare({"dsm": "dsm.tif", "ortho_left": "WV03.tif"}, "scene")
    spec = Path("scene/scene.yaml")
    text = spec.read_text()
    assert "acquired:\n- '2019-05-01'\n" in text, "a scene keeps the day"
    spec.write_text(text.replace("- '2019-05-01'\n", "- '2019-05-01'\n- '2018-04-03'\n"))
    refine("scene", "b.tif", **how)
    found = valid(Path("b.stac.json"))["properties"]
    assert found["datetime"] is None
    assert found["start_datetime"] == "2018-04-03T00:00:00Z"
    assert found["end_datetime"] == "2019-05-01T23:59:59Z"


def test_an_item_of_one_view_has_the_view_extension(place: Path) -> None:
    files = {"dsm": "dsm.tif", "ortho_left": "WV03.tif"}
    prepare(files, "scene", view_left=Direction(350, 70), sun=Direction(150, 40))
    refine("scene", "a.tif", bundle="stereo.bundle", options=Options(stac=True))
    item = valid(Path("a.stac.json"))
    assert "https://stac-extensions.github.io/view/v1.0.0/schema.json" in item["stac_extensions"]
    found = {k: v for k, v in item["properties"].items() if "view" in k or "sun" in k}
    # The grid is at the central meridian of its zone, where grid north is true north.
    assert found == {
        "view:sun_azimuth": 150, "view:sun_elevation": 40, "view:azimuth": 350,
        "view:incidence_angle": 20,
    }  # fmt: skip
    with rasterio.open("a.tif") as file:
        assert file.tags()["view_left"] == "azimuth 350.0, elevation 70.0 degrees"
        assert file.tags()["sun"] == "azimuth 150.0, elevation 40.0 degrees"


def test_an_item_of_a_pair_lists_its_views(place: Path) -> None:
    files = {"dsm": "dsm.tif", "ortho_left": "WV03.tif", "ortho_right": "WV03.tif"}
    prepare(files, "scene", view_left=Direction(350, 70), view_right=Direction(10, 80))
    refine("scene", "a.tif", bundle="stereo.bundle", options=Options(stac=True))
    item = valid(Path("a.stac.json"))
    assert item["properties"]["demiurge:views"] == [
        {"layer": "ortho_left", "azimuth": 350, "incidence_angle": 20},
        {"layer": "ortho_right", "azimuth": 10, "incidence_angle": 10},
    ]
    # The extension describes one view, so that it is not declared for a pair without a sun.
    assert not any(key.startswith("view:") for key in item["properties"])
    assert not any("/view/" in uri for uri in item["stac_extensions"])


def test_azimuths_of_an_item_are_from_true_north(place: Path) -> None:
    east = rasterio.Affine(PIXEL, 0, LEFT + 250_000, 0, -PIXEL, TOP)
    write_raster(Path("dsm.tif"), terrain(), transform=east)
    prepare({"dsm": "dsm.tif"}, "scene", sun=Direction(150, 40))
    refine("scene", "a.tif", bundle="a.bundle", options=Options(stac=True))
    properties = valid(Path("a.stac.json"))["properties"]
    # East of the central meridian, grid north lies east of true north.
    assert properties["view:sun_azimuth"] == pytest.approx(151.6, abs=0.2)
    assert properties["view:sun_elevation"] == 40


def test_an_item_replaces_no_file_without_overwrite(place: Path) -> None:
    Path("out.stac.json").write_text("mine")
    with pytest.raises(UsageError, match=r"out\.stac\.json: exists already"):
        refine("dsm.tif", "out.tif", bundle="a.bundle", options=Options(stac=True))
    assert Path("out.stac.json").read_text() == "mine"
    assert not Path("out.tif").exists()


# ---- inputs are never replaced


INPUTS = [
    "refine dsm.tif -o dsm.tif --bundle a.bundle",
    "refine dsm.tif -o ./x/../dsm.tif --bundle a.bundle",
    "refine dsm.tif -o soft.tif --bundle a.bundle",
    "refine soft.tif -o dsm.tif --bundle a.bundle",
    "refine dsm.tif -o hard.tif --bundle a.bundle",
    "refine dsm.tif --left WV03.tif -o WV03.tif --bundle stereo.bundle",
    "refine scene -o scene/stack.tif --bundle a.bundle",
    "refine mosaic.vrt -o dsm.tif --bundle a.bundle",
    "generate red.tif --bands red=1 --prior prior.tif -o prior.tif --bundle gen.bundle",
    "generate red.tif --bands red=1 --prior prior.tif -o red.tif --bundle gen.bundle",
    "export dsm.tif --image x.jpg -o x.obj",
    "prepare dsm=dsm.tif ortho_left=scene/raw.tif -o scene",
    "evaluate dsm.tif --reference truth.json --json truth.json",
    "evaluate --sites sites.csv --json listed.json",
    "compare dsm.tif truth.json --reference dsm.tif --json truth.json",
    "simulate -o scene --surface scene/raw.tif --size 64",
    "simulate -o scene --config scene/simulation.yaml --size 64",
    "plan scene -o scene/scene.yaml",
    "train scene -o a.bundle --from a.bundle -q",
]


@pytest.mark.parametrize("command", INPUTS)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_command_replaces_its_inputs(
    place: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import os
    import shutil

    import rasterio.shutil

    if command.startswith(("plan", "train")):
        pytest.importorskip("torch")
    Path("x").mkdir()
    Path("soft.tif").symlink_to("dsm.tif")
    os.link("dsm.tif", "hard.tif")
    rasterio.shutil.copy("dsm.tif", "mosaic.vrt", driver="VRT")
    coarse = rasterio.Affine(8 * PIXEL, 0, LEFT, 0, -8 * PIXEL, TOP)
    write_raster(Path("prior.tif"), terrain(20, 24), transform=coarse)
    write_raster(Path("red.tif"), (terrain() * 7).astype(np.uint16))
    write_raster(Path("x.jpg"), (terrain()).astype(np.uint8))
    for name in ("truth.json", "listed.json"):  # GDAL reads by content, not by name
        write_raster(Path(name), terrain())
    Path("sites.csv").write_text("surface,reference\ndsm.tif,listed.json\n")
    make_bundle(Path("gen.bundle"), task="generate", layers=("dem_prior", "red"), base="dem_prior")
    prepare({"dsm": "dsm.tif", "truth_dsm": "truth.json"}, "scene")
    shutil.copy("WV03.tif", "scene/raw.tif")
    Path("scene/simulation.yaml").write_text("settings: {size: 64}\n")
    before = content(place)
    for flag in ("", " --overwrite"):
        with pytest.raises(SystemExit) as caught:
            run((command + flag).split())
        error = capsys.readouterr().err
        assert caught.value.code == 2, error
        assert "is an input of this command" in error
        assert error.count("\n") == 1
        assert content(place) == before
    assert Path("soft.tif").is_symlink()


@pytest.mark.parametrize("name", ["out.png", "out.jp2", "out.asc", "out", "out.tif.gz"])
def test_other_formats_are_refused(place: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name it with one of \.tif, \.tiff, \.zarr\."):
        refine("dsm.tif", name, bundle="a.bundle")
    assert not list(place.glob("*out*"))


def test_sidecars_of_the_old_surface_are_removed(place: Path) -> None:
    Path("out.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:32601</SRS></PAMDataset>")
    with pytest.raises(UsageError, match="would be read as part of"):
        refine("dsm.tif", "out.tif", bundle="a.bundle")
    refine("dsm.tif", "out.tif", bundle="a.bundle", options=Options(overwrite=True))
    with rasterio.open("out.tif") as file:
        assert file.crs.to_epsg() == 32633
    assert not Path("out.tif.aux.xml").exists()


def test_a_scene_folder_with_results_in_it_is_not_replaced(place: Path) -> None:
    prepare({"dsm": "dsm.tif"}, "scene")
    refine("scene", "scene/better.tif", bundle="a.bundle")
    refine("scene", "scene/better.tif", bundle="a.bundle", options=Options(overwrite=True))
    before = content(place)
    with pytest.raises(UsageError, match=r"holds better\.tif"):
        prepare({"dsm": "dsm.tif"}, "scene", overwrite=True)
    assert content(place) == before


def test_a_checkpoint_keeps_values_until_it_is_reset(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path, "k", (1, 4, 5))
    assert first.keep("side", 96) == 96
    first.put(0, 0, np.zeros((1, 4, 5), np.float32))
    first.close()
    again = Checkpoint(tmp_path, "k", (1, 4, 5))
    assert again.keep("side", 64) == 96
    again.reset()
    assert again.keep("side", 64) == 64
    other = Checkpoint(tmp_path, "other", (1, 4, 5))
    assert other.keep("side", 32) == 32
