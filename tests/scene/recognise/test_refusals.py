"""Folders that are ambiguous, mixed, or of nothing known; each error names the cure."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import folders
import pytest

from conftest import make_bundle
from demiurge.cli.main import run
from demiurge.errors import DataError, DemiurgeError, UsageError
from demiurge.predict.api import refine
from demiurge.scene.prepare import prepare
from demiurge.scene.recognise.folder import TOOLS, name_files, recognise


def refusal(folder: Path, **options: object) -> DemiurgeError:
    with pytest.raises(DemiurgeError) as caught, recognise(folder, **options):  # type: ignore[arg-type]
        pass
    return caught.value


def test_a_folder_of_nothing_known_lists_the_tools(tmp_path: Path) -> None:
    folders.write_raster(tmp_path / "heights.tif", folders.HEIGHTS)
    error = refusal(tmp_path)
    assert isinstance(error, DataError)
    assert all(f"{key}: " in error.what for key in TOOLS)
    assert "dsm=FILE" in error.cure
    assert isinstance(refusal(folders.make(tmp_path / "empty")), DataError)


@pytest.mark.parametrize("kind", TOOLS)
def test_forcing_a_tool_on_another_folder_is_refused(tmp_path: Path, kind: str) -> None:
    error = refusal(folders.make(tmp_path / "empty"), kind=kind)
    assert TOOLS[kind].title in error.what


def test_a_mixture_of_tools_is_refused_and_a_tool_can_be_forced(tmp_path: Path) -> None:
    folders.setsm(folders.asp(tmp_path / "mixed"))
    error = refusal(tmp_path / "mixed")
    assert isinstance(error, UsageError)
    assert "Ames Stereo Pipeline and of SETSM" in error.what
    assert "--as asp or --as setsm" in error.cure
    with recognise(tmp_path / "mixed", kind="asp") as found:
        assert str(found.files["dsm"]).endswith("run-DEM.tif")


def test_a_bare_dsm_needs_the_tool(tmp_path: Path) -> None:
    folders.write_raster(tmp_path / "dsm.tif", folders.HEIGHTS)
    assert "nor recognised" in refusal(tmp_path).what
    with recognise(tmp_path, kind="cars") as found:
        assert list(found.files) == ["dsm"]


def test_files_named_as_layers_are_taken_in_any_folder(tmp_path: Path) -> None:
    for name in ("dsm", "ortho_left", "notes"):
        folders.write_raster(folders.make(tmp_path / "any") / f"{name}.tif", folders.HEIGHTS)
    with recognise(tmp_path / "any") as found:
        assert set(found.files) == {"dsm", "ortho_left"}
        assert "not used: notes.tif (not named as a layer)" in found.notes
    folder = folders.s2p(tmp_path / "s2p")
    folders.write_raster(folder / "ortho_left.tif", folders.IMAGE)
    folders.write_raster(folder / "truth_dsm.tif", folders.HEIGHTS)
    with recognise(folder) as found:
        assert set(found.files) == {"dsm", "ortho_left", "truth_dsm"}
        assert "s2p" in found.tool


def test_two_dems_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    folder = folders.asp(folders.asp(tmp_path / "run", "first"), "second")
    error = refusal(folder)
    assert "2 DEMs: first-DEM.tif, second-DEM.tif" in error.what
    assert f"dsm={folder}/first-DEM.tif" in error.cure
    with name_files([str(folder), f"dsm={folder}/second-DEM.tif"]) as found:
        ends = {name: Path(file).name for name, file in found.files.items()}
    assert ends["triangulation_error"] == "second-IntersectionErr.tif"
    assert ends["ortho_left"] == "second-DRG.tif"


def test_a_dem_above_the_geoid_beside_one_above_the_ellipsoid_is_refused(tmp_path: Path) -> None:
    folder = folders.asp(tmp_path / "run")
    shutil.copy(folder / "run-DEM.tif", folder / "run-DEM-adj.tif")
    assert "2 DEMs" in refusal(folder).what
    (folder / "run-DEM.tif").unlink()
    with recognise(folder) as found:
        assert any("geoid" in note for note in found.notes)
        assert not any("ellipsoid" in note for note in found.notes)


def test_images_of_mapproject_without_a_side_are_not_guessed(tmp_path: Path) -> None:
    folder = folders.asp(tmp_path / "run")
    folders.mapproject(folder / "20210714.tif")
    with recognise(folder) as found:
        assert Path(found.files["ortho_left"]).name == "run-DRG.tif"
        assert any("20210714.tif" in note and "name it" in note for note in found.notes)
    folders.mapproject(folder / "20210715.tif", dem="coarse.tif")
    log = folder / "run-log-stereo_tri-11-26-1200-1.txt"
    log.write_text("stereo_tri 20210715.tif 20210714.tif a.xml b.xml run/run coarse.tif")
    with recognise(folder) as found:
        images = [Path(found.files[name]).name for name in ("ortho_left", "ortho_right")]
        assert images == ["20210715.tif", "20210714.tif"]
        displaced = [note for note in found.notes if "map-projected on coarse.tif" in note]
        assert len(displaced) == 1
    for day in ("a", "b"):
        folders.mapproject(folder / f"left_map_{day}.tif")
    assert "2 images of mapproject" in refusal(folder).what


def test_strips_and_epochs_are_not_mixed(tmp_path: Path) -> None:
    other = folders.STRIP.replace("seg1", "seg2")
    folder = folders.setsm(folders.setsm(tmp_path / "strips"), other)
    assert "2 DEMs" in refusal(folder).what
    chosen = f"dsm={folder}/{other}_dem.tif"
    with name_files([str(folder), chosen]) as found:
        assert Path(found.files["ortho_left"]).name == f"{other}_ortho.tif"
        assert found.shown(str(found.files["dsm"])) == f"{folder}/{other}_dem.tif"
        assert "bitmask" in " ".join(found.notes)


def test_a_bitmask_on_another_grid_is_refused(tmp_path: Path) -> None:
    folder = folders.setsm(tmp_path / "strip")
    folders.write_raster(
        folder / f"{folders.STRIP}_bitmask.tif", folders.COLOURS[0][:8, :8], nodata=0
    )
    assert "another grid" in refusal(folder).what


def test_tiles_of_another_export_are_refused(tmp_path: Path) -> None:
    folder = folders.earth_engine(tmp_path / "drive")
    wrong = folder / "place-0000000048-0000000048.tif"
    folders.write_raster(wrong, folders.COLOURS.astype("uint16"), names=["B2", "B3", "B4"])
    assert "is not a tile of the same image" in refusal(folder).what
    wrong.unlink()
    with recognise(folder) as found:
        assert any("1 of its tiles" in note for note in found.notes)


def test_band_numbers_of_an_unknown_sensor_are_refused(tmp_path: Path) -> None:
    folder = folders.earth_engine(tmp_path / "drive", False, ("B2", "B3", "B4", "B5"))
    error = refusal(folder)
    assert "the sensor is unknown" in error.what
    assert f"red={folder}/place.tif:1" in error.cure
    (folder / "place.tif").rename(folder / "LC08_place.tif")
    with recognise(folder) as found:
        assert str(found.files["nir"]).endswith(":4")


def test_two_exports_of_one_band_are_refused(tmp_path: Path) -> None:
    folder = folders.earth_engine(tmp_path / "drive", tiled=False)
    shutil.copy(folder / "place.tif", folder / "place (1).tif")
    assert "2 exports" in refusal(folder).what
    with name_files([str(folder), f"blue={folder}/place (1).tif"]) as found:
        files = {Path(found.shown(str(file))).name for file in found.files.values()}
    bands = {f"place (1).tif:{band}" for band in (1, 2, 3, 4)}
    assert files == {*bands, "glo30.tif:1"}


def test_two_orthomosaics_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    folder = folders.metashape(tmp_path / "exports")
    shutil.copy(folder / "site_orthomosaic.tif", folder / "old_ortho.tif")
    error = refusal(folder)
    assert "2 orthomosaics: old_ortho.tif, site_orthomosaic.tif" in error.what
    with name_files([str(folder), f"{folder}/site_orthomosaic.tif"]) as found:
        assert found.files["red"] == f"{folder}/site_orthomosaic.tif:1"


def test_two_runs_of_micmac_are_not_mixed(tmp_path: Path) -> None:
    folder = folders.micmac(tmp_path / "site")
    for kind in ("MEC", "Ortho-MEC"):
        shutil.copytree(folder / f"{kind}-Malt", folder / f"{kind}-Other")
    assert "2 DSMs" in refusal(folder, source_crs="EPSG:32633").what
    chosen = f"dsm={folder}/MEC-Other/Z_Num8_DeZoom1_STD-MALT.tif"
    with name_files([str(folder), chosen], source_crs="EPSG:32633") as found:
        files = {found.shown(str(file)) for file in found.files.values()}
    ortho = f"{folder}/Ortho-MEC-Other/Orthophotomosaic.tif"
    assert files == {chosen.removeprefix("dsm="), *(f"{ortho}:{band}" for band in (1, 2, 3))}


def test_the_system_of_a_micmac_project_is_suggested_not_assumed(tmp_path: Path) -> None:
    folder = folders.micmac(tmp_path / "site")
    proj = "+proj=utm +zone=33 +datum=WGS84"
    (folder / "SysUTM.xml").write_text(f"<S><BSC><AuxStr>{proj}</AuxStr></BSC></S>")
    assert f"--source-crs '{proj}', if SysUTM.xml describes it" in refusal(folder).cure


def test_options_without_a_folder_and_two_folders_are_refused(tmp_path: Path) -> None:
    folder = folders.asp(tmp_path / "run")
    plain = name_files([f"dsm={folder}/run-DEM.tif"], kind="asp")
    with pytest.raises(UsageError, match="--as asp: no folder"), plain:
        pass
    two = name_files([str(folder), str(tmp_path)])
    with pytest.raises(UsageError, match="are both folders"), two:
        pass


def test_errors_name_the_users_file_and_leave_nothing(tmp_path: Path) -> None:
    folder = folders.setsm(tmp_path / "strip")
    dem = folder / f"{folders.STRIP}_dem.tif"
    heights = folders.HEIGHTS.copy()
    heights[40:50] = -999
    folders.write_raster(dem, heights)
    mask = folder / f"{folders.STRIP}_bitmask.tif"
    folders.write_raster(mask, 0 * folders.COLOURS[0], nodata=0)
    with pytest.raises(DataError, match=re.escape(str(dem))), recognise(folder) as found:
        prepare(found.files, tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


def test_check_and_refine_take_a_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], raster: Callable[..., Path]
) -> None:
    folder = folders.asp(tmp_path / "run")
    with pytest.raises(SystemExit) as stop:
        run(["check", str(folder)])
    printed = capfd.readouterr()
    assert stop.value.code == 0, printed.err
    assert "triangulation_error" in printed.out
    bundle = make_bundle(tmp_path / "plus5.bundle")
    surface = refine(folder, tmp_path / "better.tif", bundle=bundle)
    assert any("run-L.tif" in note for note in surface.notes)
    with pytest.raises(UsageError, match="demiurge prepare"):
        refine(folders.setsm(tmp_path / "strip"), tmp_path / "other.tif", bundle=bundle)
