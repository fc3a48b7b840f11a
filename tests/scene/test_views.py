"""Views and sun of scenes: from options, cameras and metadata, with azimuths from grid north."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Proj

from conftest import LEFT, terrain
from demiurge.errors import ConfigError, UsageError
from demiurge.scene.camera import Direction, Pair, centre_of
from demiurge.scene.check import LayerVerdict, check
from demiurge.scene.crs import lonlat, true_north
from demiurge.scene.grid import local_grid
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.options import read_direction
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.scene.views import describe_views, from_true_north, view_tags
from scene.cameras import affine_camera, grid_of
from scene.test_metadata import IMD
from scene.test_raw import moved, write_dsm, write_raw

Write = Callable[..., Path]
GSD = 0.5
LEFT_VIEW, RIGHT_VIEW, SUN = Direction(200, 70), Direction(20, 75), Direction(150, 40)


def stereo_files(raster: Write, **images: str) -> dict[str, Path]:
    grey = (terrain() * 7).astype(np.uint16)
    names = images or {"ortho_left": "left.tif", "ortho_right": "right.tif"}
    return {
        "dsm": raster("dsm.tif", terrain()),
        **{name: raster(file, grey) for name, file in names.items()},
    }


def angles(direction: Direction | None) -> tuple[float, float]:
    assert direction is not None
    return direction.azimuth, direction.elevation


# ---- true north


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:32633", 250_000.0, 5_300_000.0),
        ("EPSG:32633", 750_000.0, 5_300_000.0),
        ("EPSG:32740", 340_000.0, 7_650_000.0),
        ("EPSG:32633+5773", 250_000.0, 5_300_000.0),
        ("EPSG:3413", 1_000_000.0, -1_000_000.0),
    ],
)
def test_true_north_is_the_negative_convergence_of_pyproj(crs: str, x: float, y: float) -> None:
    lon, lat = lonlat(x, y, crs)
    factors = Proj(crs.split("+", maxsplit=1)[0]).get_factors(lon, lat)
    turn = true_north(x, y, crs)
    assert abs(turn) > 0.5
    assert math.isclose(turn, -factors.meridian_convergence, abs_tol=1e-4)


def test_true_north_lies_left_of_grid_north_in_the_east_of_a_zone() -> None:
    # The meridians of the northern hemisphere converge towards the central one.
    assert true_north(750_000, 5_300_000, "EPSG:32633") < -2
    assert true_north(250_000, 5_300_000, "EPSG:32633") > 2
    assert true_north(500_000, 5_300_000, "EPSG:32633") == pytest.approx(0, abs=1e-9)


def test_azimuths_of_metadata_are_turned_to_grid_north(raster: Write, tmp_path: Path) -> None:
    east = Affine(2, 0, LEFT + 250_000, 0, -2, 5_300_000)
    grey = (terrain() * 7).astype(np.uint16)
    files = {
        "dsm": raster("dsm.tif", terrain(), transform=east),
        "ortho_left": raster("left.tif", grey, transform=east),
    }
    (tmp_path / "left.IMD").write_text(IMD)
    scene = scene_from_files(files)
    turn = true_north(*centre_of(scene.grid), scene.grid.crs)
    assert angles(scene.views["ortho_left"]) == pytest.approx((21.5 + turn, 69.9))
    assert angles(scene.sun) == pytest.approx((150.3 + turn, 50.8))
    assert angles(from_true_north(scene.views["ortho_left"], scene.grid)) == pytest.approx(
        (21.5, 69.9)
    )


# ---- options, scene.yaml


def test_prepared_scenes_keep_views_and_sun(raster: Write, tmp_path: Path) -> None:
    files = stereo_files(raster)
    prepare(files, tmp_path / "s", view_left=LEFT_VIEW, view_right=RIGHT_VIEW, sun=SUN)
    content = yaml.safe_load((tmp_path / "s" / "scene.yaml").read_text())
    assert content["views"] == [
        {"azimuth": 200, "elevation": 70}, {"azimuth": 20, "elevation": 75},
    ]  # fmt: skip
    assert content["sun"] == {"azimuth": 150, "elevation": 40}
    scene = open_scene(tmp_path / "s")
    assert scene.views == {"ortho_left": LEFT_VIEW, "ortho_right": RIGHT_VIEW}
    assert scene.sun == SUN


def test_an_unknown_left_view_is_null(raster: Write, tmp_path: Path) -> None:
    prepare(stereo_files(raster), tmp_path / "s", view_right=RIGHT_VIEW)
    content = yaml.safe_load((tmp_path / "s" / "scene.yaml").read_text())
    assert content["views"][0] is None
    assert open_scene(tmp_path / "s").views == {"ortho_right": RIGHT_VIEW}


def test_scenes_without_directions_have_no_such_keys(raster: Write, tmp_path: Path) -> None:
    prepare(stereo_files(raster), tmp_path / "s")
    content = yaml.safe_load((tmp_path / "s" / "scene.yaml").read_text())
    assert not {"views", "sun"} & set(content)


def test_the_view_of_an_image_without_orthos(raster: Write, tmp_path: Path) -> None:
    grey = (terrain() * 7).astype(np.uint16)
    files = {name: raster(f"{name}.tif", grey) for name in ("red", "green", "blue")}
    scene = prepare(files, tmp_path / "s", view_left=LEFT_VIEW)
    assert list(scene.views.values()) == [LEFT_VIEW]
    assert view_tags(scene) == {"view": "azimuth 200.0, elevation 70.0 degrees"}
    with pytest.raises(UsageError, match="--view-right is given"):
        prepare(files, tmp_path / "t", view_right=RIGHT_VIEW)


def test_a_view_of_a_missing_image_is_refused(raster: Write, tmp_path: Path) -> None:
    files = stereo_files(raster, ortho_left="left.tif")
    with pytest.raises(UsageError, match="no layer 'ortho_right'"):
        prepare(files, tmp_path / "s", view_right=RIGHT_VIEW)
    assert not (tmp_path / "s").exists()


def written(folder: Path, views: str) -> Scene:
    (folder / "scene.yaml").write_text(
        f"layers:\n  dsm: {{file: dsm.tif}}\n  ortho_right: {{file: left.tif}}\nviews: {views}\n"
    )
    return open_scene(folder)


def test_views_of_a_scene_file_by_hand(raster: Write, tmp_path: Path) -> None:
    stereo_files(raster)
    one, two = "{azimuth: 1, elevation: 80}", "{azimuth: 2, elevation: 80}"
    assert written(tmp_path, f"[{one}]").views == {"ortho_right": Direction(1, 80)}
    assert written(tmp_path, f"[{one}, {two}]").views == {"ortho_right": Direction(2, 80)}
    with pytest.raises(ConfigError, match="3 directions for 1 images"):
        written(tmp_path, f"[{one}, {two}, {two}]")
    for bad in (
        "{azimuth: 1, elevation: 0}",
        "{azimuth: 400, elevation: 5}",
        "{azimuth: .nan, elevation: 5}",
        "{azimuth: 1, elevation: 5, height: 3}",
    ):
        with pytest.raises(ConfigError, match=r"scene\.yaml: views\.0"):
            written(tmp_path, f"[{bad}]")


@pytest.mark.parametrize(
    "text", ["12", "a,b", "1,2,3", "10,0", "10,91", "nan,4", "", "361,5", "-400,5"]
)
def test_texts_that_are_no_direction(text: str) -> None:
    with pytest.raises(UsageError, match=r"--sun .*azimuth and an elevation; write AZ,EL"):
        read_direction("--sun", text)


def test_a_text_of_a_direction() -> None:
    assert read_direction("--sun", "151.3, 48") == Direction(151.3, 48)
    assert read_direction("--sun", "-10,48") == Direction(350, 48)


# ---- cameras


def raw_files(folder: Path) -> dict[str, str]:
    """Write a DSM and two raw images; the first sensor is in the east, the second in the west."""
    files = {"dsm": str(write_dsm(folder / "dsm.tif", np.full((96, 128), 100.0)))}
    rng = np.random.default_rng(0)
    image = rng.uniform(50, 200, (220, 290))
    for name, east in (("ortho_left", -0.2), ("ortho_right", 0.3)):
        rpc = moved(affine_camera(grid_of(), (east, 0.0), GSD).rpc, 5 / GSD)
        files[name] = str(write_raw(folder / f"{name}.tif", image, rpc))
    return files


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_views_of_raw_images_come_from_their_cameras(tmp_path: Path) -> None:
    scene = scene_from_files(raw_files(tmp_path))
    incidences = [math.degrees(math.atan(slope)) for slope in (0.2, 0.3)]
    assert angles(scene.views["ortho_left"]) == pytest.approx((90, 90 - incidences[0]), abs=0.02)
    assert angles(scene.views["ortho_right"]) == pytest.approx((270, 90 - incidences[1]), abs=0.02)
    assert not any("differs" in note for note in scene.notes)
    assert describe_views(scene)[-1] == (
        f"pair: convergence {sum(incidences):.1f} degrees, base-to-height ratio 0.50, "
        "parallax along azimuth 90"
    )


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_contradictions_are_noted(tmp_path: Path) -> None:
    files = raw_files(tmp_path)
    (tmp_path / "ortho_left.IMD").write_text(IMD)
    dimap = (
        "<Dimap_Document><Scene_Source><INCIDENCE_ANGLE>25</INCIDENCE_ANGLE></Scene_Source>"
        "</Dimap_Document>"
    )
    (tmp_path / "ortho_right.xml").write_text(dimap)
    scene = scene_from_files(files)
    notes = "\n".join(scene.notes)
    assert f"view of {tmp_path / 'ortho_left.IMD'} (azimuth 21.5" in notes
    assert "from that of its camera (azimuth 90.0, elevation 78.7 degrees), which is used" in notes
    assert "ortho_right.xml is 25.0 degrees, that of its camera, which is used, 16.7" in notes
    assert angles(scene.views["ortho_left"])[0] == pytest.approx(90, abs=0.02)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_options_win_over_cameras_and_metadata(tmp_path: Path) -> None:
    files = raw_files(tmp_path)
    (tmp_path / "ortho_left.IMD").write_text(IMD)
    scene = prepare(files, tmp_path / "s", view_left=LEFT_VIEW, sun=SUN)
    assert scene.views["ortho_left"] == LEFT_VIEW
    assert scene.sun == SUN
    notes = "\n".join(scene.notes)
    assert notes.count("that of --view-left (azimuth 200.0") == 2, "camera and metadata differ"
    assert "that of --sun (azimuth 150.0" in notes
    near = Direction(*(a + 1 for a in angles(scene_from_files(files).views["ortho_left"])))
    again = prepare(files, tmp_path / "t", view_left=near)
    assert not any("its camera" in note and "--view-left" in note for note in again.notes)


# ---- check, tags


@pytest.mark.parametrize(
    ("degrees", "match"),
    [(2.5, "is 0.09, below 0.1"), (3.5, ""), (30, ""), (31.5, "is 1.23, above 1.2")],
)
def test_check_warns_of_unsuitable_pairs(
    raster: Write, tmp_path: Path, degrees: float, match: str
) -> None:
    views = Direction(90, 90 - degrees), Direction(270, 90 - degrees)
    scene = prepare(stereo_files(raster), tmp_path / "s", view_left=views[0], view_right=views[1])
    finding = next(f for f in check(scene) if f.layer == "ortho_right")
    assert finding.verdict is (LayerVerdict.WARNING if match else LayerVerdict.OK)
    assert match in finding.message
    assert Pair(*views).base_to_height == pytest.approx(2 * math.tan(math.radians(degrees)))


def test_tags_of_a_pair(raster: Write) -> None:
    scene = scene_from_files(
        stereo_files(raster),
        views={"ortho_left": LEFT_VIEW, "ortho_right": RIGHT_VIEW},
        sun=SUN,
    )
    assert view_tags(scene) == {
        "view_left": "azimuth 200.0, elevation 70.0 degrees",
        "view_right": "azimuth 20.0, elevation 75.0 degrees",
        "sun": "azimuth 150.0, elevation 40.0 degrees",
    }


def test_a_grid_without_georeference_has_no_true_north() -> None:
    grid: GeoBox = local_grid((10, 10), 1.0)
    assert true_north(*centre_of(grid), grid.crs) == pytest.approx(0, abs=1e-6)
