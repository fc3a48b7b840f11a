"""``fetch`` against services on loopback: known reflectance and heights, clouds, places."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pyproj import Transformer

import demiurge
from demiurge.cli.main import run
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.fetching import catalogues
from demiurge.fetching.catalogues import Service
from demiurge.scene.scene import Scene

from .faulty import Fault, Server
from .world import LEFT, TOP, heights

SMALL = (7.7100, 46.0330, 7.7130, 46.0350)


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Any:
    def call(when: str, out: str = "scene", **options: Any) -> Any:
        settings = {"bbox": SMALL, "what": "sentinel2", "bands": "red", "stac": server.url,
                    "cache": tmp_path / "cache", "when": when} | options  # fmt: skip
        return demiurge.fetch(tmp_path / out, **settings)

    return call


def plane(scene: Scene, base: float = 0.1) -> np.ndarray:
    """Return the reflectance of the tile in EPSG:32632 at the pixels of a scene."""
    a = scene.grid.affine
    row, col = np.mgrid[: scene.shape[0], : scene.shape[1]]
    x, y = a.c + (col + 0.5) * a.a, a.f + (row + 0.5) * a.e
    return base + 0.0001 * ((x - LEFT) / 10 - 0.5) + 0.0002 * ((TOP - y) / 10 - 0.5)


def values(scene: Scene, name: str = "red") -> np.ndarray:
    return scene.read(layers=[name])[0]


@pytest.mark.parametrize("month", ["2023-01", "2023-02", "2023-03", "2023-04"])
def test_reflectance_does_not_depend_on_how_the_offset_is_stated(fetch: Any, month: str) -> None:
    scene = fetch(month)
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)


def test_an_offset_that_pixels_contradict_is_refused(fetch: Any) -> None:
    with pytest.raises(DataError, match=r"wrong: states an offset of -0\.1, which makes red neg"):
        fetch("2023-05")


def test_a_scene_has_images_heights_sun_date_and_credits(fetch: Any) -> None:
    scene = fetch("2024-06-01/2024-06-02", what="sentinel2,dem_prior", bands="red,green,blue,nir")
    assert set(scene.layers) == {"red", "green", "blue", "nir", "ndvi", "dem_prior", "valid"}
    assert (scene.pixel_size, str(scene.grid.crs)) == (10.0, "EPSG:32632")
    assert (scene.grid.affine.c % 10, scene.grid.affine.f % 10) == (0, 0)
    for index, name in enumerate(("red", "green", "blue", "nir")):
        np.testing.assert_allclose(values(scene, name), plane(scene, 0.1 + 0.05 * index), atol=6e-5)
    red, nir = values(scene), values(scene, "nir")
    np.testing.assert_allclose(values(scene, "ndvi"), (nir - red) / (nir + red), atol=1e-6)
    assert str(scene.vertical) == "orthometric (EGM2008 height)"
    np.testing.assert_allclose(values(scene, "dem_prior"), expected_heights(scene), atol=0.02)
    spec = yaml.safe_load((scene.folder / "scene.yaml").read_text("utf-8"))
    assert spec["acquired"] == ["2024-06-01"]
    assert spec["items"] == ["june_1", "dem_46_7"]
    assert "Copernicus Sentinel data 2024" in spec["credits"][0]
    assert "WorldDEM-30" in spec["credits"][1]
    # 150 degrees from true north; grid north is 0.93 degrees to the west of it here.
    assert spec["sun"]["azimuth"] == pytest.approx(150.93, abs=0.02)
    assert spec["sun"]["elevation"] == 60
    assert spec["layers"]["dem_prior"]["native"]["crs"] == "EPSG:9518"


def expected_heights(scene: Scene) -> np.ndarray:
    a = scene.grid.affine
    row, col = np.mgrid[: scene.shape[0], : scene.shape[1]]
    to = Transformer.from_crs(str(scene.grid.crs), "EPSG:4326", always_xy=True)
    lon, lat = to.transform(a.c + (col + 0.5) * a.a, a.f + (row + 0.5) * a.e)
    return heights(lon, lat)


def test_the_median_leaves_clouds_out(fetch: Any) -> None:
    """The third pass is cloudy in the west and would raise the median in the east."""
    east = (7.7230, 46.0330, 7.7240, 46.0340)  # across the middle of the tile
    scene = fetch("2024-06", bbox=east)
    a = scene.grid.affine
    x = a.c + (np.arange(scene.shape[1]) + 0.5) * a.a
    cloudy = np.broadcast_to(x < LEFT + 1500, scene.shape)
    expected = np.where(cloudy, plane(scene, 0.12), plane(scene, 0.14))
    np.testing.assert_allclose(values(scene), expected, atol=6e-5)
    assert scene.acquired()[0].date() == dt.date(2024, 6, 1)
    assert any("2024-06-01 (100%)" in note for note in scene.notes)


def test_single_takes_the_clearest_pass(fetch: Any) -> None:
    scene = fetch("2024-06", single=True, cloud=15)
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)
    assert scene.spec.items == ["june_1"]


@pytest.mark.parametrize(
    ("when", "options", "words"),
    [
        ("2024-07", {}, "clouds or snow cover the area in all 1 passes"),
        ("2024-08", {}, "keep snow with --snow"),
        ("2024-09", {}, r"the least cloudy of 1 items has 95 % clouds; raise --cloud"),
        ("2020-01", {}, "has no usable sentinel2 item of the area in 2020-01"),
        ("2024-06", {"bbox": (20, 0, 20.01, 0.01)}, "has no usable sentinel2 item"),
        ("2024-06", {"bbox": (20, 0, 20.01, 0.01), "what": "dem_prior"}, "has no tile of cop-dem"),
    ],
)
def test_areas_without_data_end_in_a_sentence(
    fetch: Any, tmp_path: Path, when: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        fetch(when, **options)
    assert not (tmp_path / "scene").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_snow_can_be_kept(fetch: Any) -> None:
    scene = fetch("2024-08", snow=True)
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)


def test_items_with_missing_assets_are_left_out_and_named(fetch: Any) -> None:
    scene = fetch("2022-01")
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)
    notes = "\n".join(scene.notes)
    assert "no_key: has no asset red or B04" in notes or "no_key: has no red" in notes
    assert "no_file" in notes and "does not exist (HTTP 404)" in notes


def test_an_item_in_another_crs_is_warped(fetch: Any) -> None:
    scene = fetch("2022-03")
    assert str(scene.grid.crs) == "EPSG:32632"
    a = scene.grid.affine
    row, col = np.mgrid[: scene.shape[0], : scene.shape[1]]
    to = Transformer.from_crs("EPSG:32632", "EPSG:32631", always_xy=True)
    x, y = to.transform(a.c + (col + 0.5) * a.a, a.f + (row + 0.5) * a.e)
    expected = 0.1 + 0.0001 * ((x - 862000) / 10 - 0.5) + 0.0002 * ((5110000 - y) / 10 - 0.5)
    known = np.isfinite(values(scene))
    assert known.mean() > 0.99
    np.testing.assert_allclose(values(scene)[known], expected[known], atol=2e-4)


def test_across_the_antimeridian(fetch: Any) -> None:
    box = (179.995, 13.02, -179.995, 13.03)
    scene = fetch("2022-04", bbox=box, what="sentinel2,dem_prior")
    assert scene.shape[1] * 10 == pytest.approx(0.01 * 111320 * np.cos(np.radians(13)), abs=40)
    got = values(scene, "dem_prior")
    assert np.isfinite(got).all()
    a = scene.grid.affine
    row, col = np.mgrid[: scene.shape[0], : scene.shape[1]]
    to = Transformer.from_crs(str(scene.grid.crs), "EPSG:4326", always_xy=True)
    lon, lat = to.transform(a.c + (col + 0.5) * a.a, a.f + (row + 0.5) * a.e)
    np.testing.assert_allclose(got, heights(lon, lat), atol=0.05)
    assert np.isfinite(values(scene)).all()


def test_landsat(fetch: Any) -> None:
    scene = fetch("2021-01", what="landsat", bands="red,nir")
    assert scene.pixel_size == 30
    assert (scene.grid.affine.c - LEFT) % 30 == 15, "its pixels are not resampled"
    row = (TOP - 15 - scene.grid.affine.f) / 30 + np.arange(scene.shape[0])[:, None]
    col = (scene.grid.affine.c - LEFT - 15) / 30 + np.arange(scene.shape[1])
    np.testing.assert_allclose(values(scene), 0.1 + 1e-4 * col + 2e-4 * row, atol=2e-5)
    np.testing.assert_allclose(values(scene, "nir"), 0.25 + 1e-4 * col + 2e-4 * row, atol=2e-5)
    assert "U.S. Geological Survey" in scene.spec.credits[0]


@pytest.mark.parametrize("month", ["2021-02", "2021-03"])
def test_hls_uses_the_matching_bands_of_both_sensors(fetch: Any, month: str) -> None:
    scene = fetch(month, what="hls", bands="red,nir")
    np.testing.assert_allclose(values(scene, "nir"), 0.3, atol=1e-6)
    np.testing.assert_allclose(values(scene, "ndvi"), 0.5, atol=1e-6)
    assert scene.sun is not None and scene.sun.elevation == 50


def test_hls_gives_only_the_index_next_to_other_images(fetch: Any) -> None:
    scene = fetch("2021-02", what="sentinel2,hls")
    assert set(scene.layers) == {"red", "ndvi", "valid"}
    np.testing.assert_allclose(values(scene, "ndvi"), 0.5, atol=1e-6)
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)


def test_the_grid_of_a_raster(fetch: Any, tmp_path: Path) -> None:
    from rasterio.transform import from_origin

    from conftest import write_raster

    dsm = write_raster(
        tmp_path / "dsm.tif", np.zeros((30, 40), np.float32), crs="EPSG:32632",
        transform=from_origin(LEFT + 1003.0, TOP - 1001.0, 4, 4),
    )  # fmt: skip
    scene = fetch("2024-06-01/2024-06-02", bbox=None, like=dsm)
    assert scene.shape == (30, 40)
    assert tuple(scene.grid.affine)[:6] == (4, 0, LEFT + 1003.0, 0, -4, TOP - 1001.0)
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)


def test_only_the_window_is_read(fetch: Any, server: Server) -> None:
    sent = server.sent
    fetch("2024-06-01/2024-06-02")
    size = (server.folder / "data/june_1/red.tif").stat().st_size
    assert size > 0
    entire = [r for r in server.requests if r.startswith("GET /data") and "bytes=" not in r]
    assert entire == []
    assert server.sent > sent


@pytest.mark.parametrize(
    "fault",
    [Fault(status=429, times=2), Fault(status=500, times=2), Fault(truncate=True, times=3),
     Fault(slow=1.5, times=1)],
    ids=["429", "500", "truncated", "slow"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["red.tif", "search"])
def test_passing_faults_end_in_the_same_scene(
    fetch: Any, server: Server, fault: Fault, where: str
) -> None:
    server.faults[where] = Fault(fault.status, fault.truncate, fault.slow, min(fault.times, 2))
    scene = fetch("2024-06-01/2024-06-02")
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)


@pytest.mark.parametrize(
    ("fault", "where"),
    [(Fault(status=500, times=-1), "red.tif"), (Fault(truncate=True, times=-1), "red.tif"),
     (Fault(status=503, times=-1), "search"), (Fault(status=403, times=-1), "scl.tif")],
    ids=["500", "truncated", "search", "403"],
)  # fmt: skip
def test_lasting_faults_end_in_a_sentence_and_a_repetition_resumes(
    fetch: Any, server: Server, tmp_path: Path, fault: Fault, where: str
) -> None:
    server.faults[where] = fault
    with pytest.raises(ResourceError):
        fetch("2024-06-01/2024-06-02", bands="nir,red")
    assert not (tmp_path / "scene").exists()
    server.faults.clear()
    server.requests.clear()
    scene = fetch("2024-06-01/2024-06-02", bands="nir,red")
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)
    if where == "red.tif":
        assert not [r for r in server.requests if "scl.tif" in r or "nir.tif" in r]
        server.requests.clear()
        fetch("2024-06-01/2024-06-02", "again", bands="nir,red")
        assert not [r for r in server.requests if "/data" in r]


def test_an_expired_signature_is_renewed(
    fetch: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = ["old"]

    def sign(url: str, fresh: bool) -> str:
        if fresh:
            signatures.append("new")
        return f"{url}?sig={signatures[-1]}"

    monkeypatch.setitem(catalogues.SERVICES, "signed", Service("signed", server.url, sign))
    monkeypatch.setattr(
        catalogues.SERVICES["signed"].__class__, "headers", lambda self: {}, raising=True
    )
    server.accepts = lambda signature: signature == "new"
    scene = fetch("2024-06-01/2024-06-02", stac="signed")
    np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)
    assert signatures == ["old", "new"]


def test_places_are_apart_and_marked(fetch: Any, server: Server, tmp_path: Path) -> None:
    box = (7.6985, 46.0225, 7.7300, 46.0445)
    options = {"bbox": box, "pairs": 2, "place": 64, "what": "sentinel2,truth_dsm"}
    scenes = fetch("2024-06-01/2024-06-02", "places", **options)
    assert [scene.name for scene in scenes] == ["place-001", "place-002"]
    assert sorted(scene.spec.use for scene in scenes) == ["training", "validating"]
    assert all(scene.shape == (64, 64) and "truth_dsm" in scene.layers for scene in scenes)
    for scene in scenes:
        np.testing.assert_allclose(values(scene), plane(scene), atol=6e-5)
    server.requests.clear()
    again = fetch("2024-06-01/2024-06-02", "places", **options)
    assert [s.grid for s in again] == [s.grid for s in scenes]
    assert server.requests == [], "finished places are kept"
    with pytest.raises(UsageError, match="not with the same options"):
        fetch("2024-06-01/2024-06-02", "places", **options, seed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"what": "sentinel3"}, "--what sentinel3: is no product"),
        ({"what": "sentinel2,landsat"}, "layers would come from several products"),
        ({"bands": "thermal"}, "there is no layer called 'thermal'"),
        ({"bands": "ortho_left"}, "sentinel2 has no such layer"),
        ({"when": "last summer"}, "is no interval"),
        ({"when": "2024-13"}, "is no date"),
        ({"when": "2024-09/2024-06"}, "ends before it begins"),
        ({"bbox": None}, "the area is given not at all"),
        ({"bbox": (8, 46, 7.9, 45)}, "has no area"),
        ({"bbox": (8, 46, 8, 47)}, "are no area of a scene"),
        ({"like": "x.tif"}, "the area is given several times"),
        ({"stac": "nasa"}, "--stac nasa: is no service"),
        ({"crs": "EPSG:4326"}, "is not projected in metres"),
        ({"bbox": (0, 40, 9, 48), "gsd": 0.5}, "give a smaller area or a larger --gsd"),
        ({"pairs": 500}, "the area holds"),
    ],
)
def test_wrong_options(fetch: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fetch(options.pop("when", "2024-06"), **options)


def test_geometries(fetch: Any, tmp_path: Path) -> None:
    w, s, e, n = SMALL
    ring = f"[[{w},{s}],[{e},{s}],[{e},{n}],[{w},{s}]]"
    area = tmp_path / "area.geojson"
    area.write_text(f'{{"type": "Polygon", "coordinates": [{ring}]}}')
    scene = fetch("2024-06-01/2024-06-02", bbox=None, geometry=area)
    assert scene.grid == fetch("2024-06-01/2024-06-02", "other").grid
    area.write_text("no JSON")
    with pytest.raises(DataError, match="is not GeoJSON"):
        fetch("2024-06", "third", bbox=None, geometry=area)
    with pytest.raises(ResourceError, match="there is no such file"):
        fetch("2024-06", "third", bbox=None, geometry=tmp_path / "b.geojson")


def test_credentials_are_named(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    with pytest.raises(ResourceError, match="EARTHDATA_TOKEN is not set"):
        fetch("2024-06", what="hls", bands="red,nir", stac="lpdaac")


def test_the_command_prints_credits_and_exit_codes(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    box = ",".join(map(str, SMALL))
    words = ["fetch", "--bbox", box, "--what", "sentinel2", "--bands", "red", "--stac", server.url,
             "--cache", str(tmp_path / "c")]  # fmt: skip
    for when, code in (("2024-06-01/2024-06-02", 0), ("2020-01", 3), ("x", 2)):
        with pytest.raises(SystemExit) as end:
            run([*words, "--when", when, "-o", str(tmp_path / f"s{code}")])
        assert end.value.code == code, when
    out, error = capfd.readouterr()
    assert "credit: Contains modified Copernicus Sentinel data 2024" in out
    assert "licence: Copernicus Sentinel data" in out
    assert "Traceback" not in error
    server.faults["search"] = Fault(status=500, times=-1)
    with pytest.raises(SystemExit) as end:
        run([*words, "-o", str(tmp_path / "other"), "--when", "2024-06"])
    assert end.value.code == 4
    assert capfd.readouterr().err.count("\n") == 1


def test_a_url_that_is_no_stac_api(fetch: Any, server: Server) -> None:
    with pytest.raises(ResourceError, match=r"is no STAC API|does not exist"):
        fetch("2024-06", stac=f"{server.url}/data/june_1")
