"""The application: tiles, values, profiles, statistics, and hostile requests."""

import io
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from demiurge.evaluation.report.profiles import sample_profile
from demiurge.scene.crs import transform
from demiurge.viewer.catalogue import Catalogue, open_catalogue
from demiurge.viewer.server import create_app
from demiurge.viewer.tiles import tile_grid
from view_rasters import GSD, NORTH, WEST, heights, write

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def client(catalogue: Catalogue) -> TestClient:
    return TestClient(create_app(catalogue))


def place(column: float, row: float) -> tuple[float, float]:
    """Longitude and latitude of a place in pixels."""
    x, y = WEST + column * GSD, NORTH - row * GSD
    lon, lat = transform(np.array([x]), np.array([y]), "EPSG:32633", "EPSG:4326")
    return float(lon[0]), float(lat[0])


def tile_of(lon: float, lat: float, z: int = 17) -> tuple[int, int, int]:
    x, y = transform(np.array([lon]), np.array([lat]), "EPSG:4326", "EPSG:3857")
    grid = tile_grid(z, 0, 0)
    size = grid.affine.a * 256
    return z, int((float(x[0]) - grid.affine.c) / size), int((grid.affine.f - float(y[0])) / size)


def picture(client: TestClient, path: str) -> np.ndarray:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.array(Image.open(io.BytesIO(answer.content)))


def test_catalogue(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/api/catalogue").json()
    assert [one["key"] for one in answer["layers"]] == ["L0", "L1", "L2", "L3", "L4", "L5"]
    assert str(tmp_path) not in str(answer)


def test_a_terrain_tile_has_the_heights_of_the_raster(client: TestClient) -> None:
    lon, lat = place(80, 60)
    z, x, y = tile_of(lon, lat)
    rgba = picture(client, f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png?layer=L0&style=terrain")
    grid = tile_grid(z, x, y)
    mx, my = transform(np.array([lon]), np.array([lat]), "EPSG:4326", "EPSG:3857")
    column, row = ~grid.affine * (float(mx[0]), float(my[0]))
    r, g, b = rgba[int(row), int(column), :3].astype(float)
    assert r * 256 + g + b / 256 - 32768 == pytest.approx(128, abs=0.15)


def test_tiles_of_a_raster_that_is_written_again_are_new(
    client: TestClient, files: list[Path]
) -> None:
    z, x, y = tile_of(*place(60, 60))
    address = f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png?layer=L4&style=terrain"
    before = picture(client, address)
    file = next(file for file in files if file.name == "initial.tif")
    write(file, heights()[None] + np.float32(500))
    after = picture(client, address)
    assert (before != after).any()
    np.testing.assert_array_equal(picture(client, address), after)


def test_image_tiles_have_the_image_colours(client: TestClient) -> None:
    z, x, y = tile_of(*place(20, 60), z=18)
    rgba = picture(client, f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png?layer=L5")
    seen = rgba[rgba[..., 3] > 0]
    assert len(seen)
    assert np.median(seen[:, 0]) > 200
    assert np.median(seen[:, 2]) < 50


def test_values_are_those_of_the_pixel(client: TestClient) -> None:
    lon, lat = place(80.5, 60.5)
    answer = client.get("/api/point", params={"lon": lon, "lat": lat}).json()
    assert answer["x"] == pytest.approx(WEST + 161, abs=0.01)
    assert answer["crs"] == "EPSG:32633"
    values = answer["values"]
    assert values["L0"] == [pytest.approx(128, abs=1e-3)]
    assert values["L1"] == [0.5]
    assert values["L4"] == [pytest.approx(129, abs=1e-3)]
    assert values["L5"] == [0, 0, 200]
    lon, lat = place(15.5, 15.5)
    assert client.get("/api/point", params={"lon": lon, "lat": lat}).json()["values"]["L0"] is None


def test_a_profile_is_that_of_evaluate(client: TestClient, catalogue: Catalogue) -> None:
    (a, b), (c, d) = place(30.5, 60.5), place(130.2, 60.5)
    answer = client.get("/api/profile", params={"lon1": a, "lat1": b, "lon2": c, "lat2": d}).json()
    source = catalogue.layers["L0"].sources[0]
    line = (WEST + 61, NORTH - 121, WEST + 260.4, NORTH - 121)
    expected = sample_profile(line, {"dsm": source}, source.grid)
    np.testing.assert_allclose(answer["values"]["L0"], expected.heights["dsm"], atol=1e-3)
    np.testing.assert_allclose(answer["along"], expected.along, atol=0.01)
    assert set(answer["values"]) == {"L0", "L1", "L2", "L3", "L4"}
    assert answer["uncertainty"]["L0"] == "L1"


def test_statistics_of_a_difference(client: TestClient) -> None:
    (west, north), (east, south) = place(0, 0), place(60, 60)
    box = {"west": west, "south": south, "east": east, "north": north}
    answer = client.get("/api/statistics", params={"key": "L4-L0", **box}).json()
    assert answer["mean"] == pytest.approx(1, abs=1e-4)
    assert answer["nmad"] == pytest.approx(0, abs=1e-4)
    assert answer["voids"] >= 100
    assert answer["count"] + answer["voids"] == pytest.approx(3600, rel=0.04)


def test_faults_are_sentences(client: TestClient) -> None:
    (a, b), (c, d) = place(30, 60), place(900, 60)
    answer = client.get("/api/profile", params={"lon1": a, "lat1": b, "lon2": c, "lat2": d})
    assert answer.status_code == 422
    assert "outside" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/tiles/WebMercatorQuad/99/0/0.png?layer=L0",
        "/tiles/WebMercatorQuad/5/99/0.png?layer=L0",
        "/tiles/WebMercatorQuad/5/-1/0.png?layer=L0",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=../../etc/passwd",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=/etc/passwd",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L0&url=http://example.com/a.tif",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L0&expression=b1*b1",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L0&low=nan",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L0&high=inf",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L0&ramp=__import__",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L0&tilesize=100000",
        "/tiles/WebMercatorQuad/5/0/0.png?layer=L5&style=terrain",
        "/tiles/WebMercatorQuad/5/0/0.tif?layer=L0",
        "/tiles/Other/5/0/0.png?layer=L0",
        "/tiles/WebMercatorQuad/5/0/0.png",
        "/api/point?lon=nan&lat=0",
        "/api/point?lon=1e9&lat=0",
        "/api/statistics?key=L0&west=0&south=0&east=1&north=inf",
        "/reports/..%2f..%2fetc%2fpasswd",
        "/info?url=/etc/passwd",
        "/docs",
        "/openapi.json",
    ],
)
def test_hostile_requests_get_4xx(client: TestClient, path: str) -> None:
    assert 400 <= client.get(path).status_code < 500


def test_reports_cannot_run_scripts(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "r.html").write_text("<script>alert(1)</script>")
    client = TestClient(create_app(open_catalogue([files[0], tmp_path / "r.html"])))
    answer = client.get("/reports/R0")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("sandbox;")


def test_far_out_the_raster_is_small(client: TestClient) -> None:
    z, x, y = tile_of(*place(80, 60), z=10)
    rgba = picture(client, f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png?layer=L0")
    assert 0 < (rgba[..., 3] > 0).sum() < 100
