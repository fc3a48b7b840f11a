"""Point clouds and meshes, read back with other readers where available."""

import json
import struct
from pathlib import Path

import laspy
import numpy as np
import pytest
import rasterio

from conftest import CRS, LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.exports import vertices
from demiurge.exports.export import export

ROWS, COLUMNS = 130, 170


@pytest.fixture
def heights() -> np.ndarray:
    heights = terrain(ROWS, COLUMNS)
    heights[40:50, 60:75] = np.nan
    return heights


@pytest.fixture
def surface(tmp_path: Path, heights: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vertices, "SIDE", 64)
    return write_raster(tmp_path / "dsm.tif", heights, nodata=np.nan)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Red increases eastward, green southward."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    bands = np.stack([columns, rows, np.full_like(rows, 7)]).astype(np.uint8)
    return write_raster(tmp_path / "rgb.tif", bands, names=["red", "green", "blue"])


def _where(heights: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(np.isfinite(heights))
    x, y = LEFT + PIXEL * (columns + 0.5), TOP - PIXEL * (rows + 0.5)
    return np.stack([x, y, heights[rows, columns]], axis=1)


def _sorted(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort((points[:, 0], -points[:, 1]))]


def _las_points(path: Path) -> np.ndarray:
    cloud = laspy.read(path)
    return np.stack([cloud.x, cloud.y, cloud.z], axis=1)


def test_a_cloud_has_every_pixel_once(surface: Path, heights: np.ndarray, tmp_path: Path) -> None:
    result = export(surface, tmp_path / "p.las")
    assert result.points == np.isfinite(heights).sum()
    np.testing.assert_allclose(_sorted(_las_points(result.path)), _where(heights), atol=1e-3)


@pytest.mark.parametrize("kind", ["las", "laz"])
def test_las_has_crs_and_colours(
    surface: Path, image: Path, heights: np.ndarray, tmp_path: Path, kind: str
) -> None:
    result = export(surface, tmp_path / f"p.{kind}", image=image)
    cloud = laspy.read(result.path)
    assert cloud.header.parse_crs().to_epsg() == 32633
    np.testing.assert_allclose(_sorted(_las_points(result.path)), _where(heights), atol=1e-3)
    red, east = np.asarray(cloud.red), np.asarray(cloud.x)
    assert np.corrcoef(red, east)[0, 1] > 0.99
    assert red.max() == 65535


def test_ply_has_count_and_origin(
    surface: Path, image: Path, heights: np.ndarray, tmp_path: Path
) -> None:
    result = export(surface, tmp_path / "p.ply", image=image)
    head, body = result.path.read_bytes().split(b"end_header\n", 1)
    text = head.decode()
    assert f"element vertex {result.points}" in text
    origin = np.array(text.split("comment origin ")[1].split("\n")[0].split(), float)
    kind = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    points = np.frombuffer(body, kind)
    assert len(points) == result.points
    np.testing.assert_allclose(_sorted(points["xyz"] + origin), _where(heights), atol=1e-3)


def test_simplified_clouds_are_subsets_of_the_pixels(
    surface: Path, heights: np.ndarray, tmp_path: Path
) -> None:
    result = export(surface, tmp_path / "p.las", tolerance=1.0)
    assert result.points < 0.5 * np.isfinite(heights).sum()
    points = _las_points(result.path)
    columns, rows = (points[:, 0] - LEFT) / PIXEL - 0.5, (TOP - points[:, 1]) / PIXEL - 0.5
    pixels = np.rint(np.stack([rows, columns], axis=1)).astype(int)
    np.testing.assert_allclose(pixels, np.stack([rows, columns], axis=1), atol=1e-3)
    np.testing.assert_allclose(heights[pixels[:, 0], pixels[:, 1]], points[:, 2], atol=1e-3)
    assert len({tuple(p) for p in pixels}) == len(points), "no duplicates at borders of blocks"


def _glb(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", content)
    assert (magic, version, total) == (b"glTF", 2, len(content))
    size = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def test_glb_is_a_textured_mesh(
    surface: Path, image: Path, heights: np.ndarray, tmp_path: Path
) -> None:
    result = export(surface, tmp_path / "m.glb", image=image, tolerance=0.5)
    scene, body = _glb(result.path)
    views = [(v["byteOffset"], v["byteLength"]) for v in scene["bufferViews"]]
    points = np.frombuffer(body[: views[0][1]], "<f4").reshape(-1, 3)
    uv = np.frombuffer(body[views[1][0] : sum(views[1])], "<f4").reshape(-1, 2)
    faces = np.frombuffer(body[views[2][0] : sum(views[2])], "<u4").reshape(-1, 3)
    picture = body[views[3][0] : sum(views[3])]
    assert picture[:2] == b"\xff\xd8"
    assert (len(points), len(faces)) == (result.points, result.triangles)
    assert faces.max() == len(points) - 1
    np.testing.assert_allclose(points.min(axis=0), scene["accessors"][0]["min"])
    origin = np.array(scene["scenes"][0]["extras"]["origin"])
    assert "33N" in scene["scenes"][0]["extras"]["crs"]
    east, north, up = points[:, 0] + origin[0], origin[1] - points[:, 2], points[:, 1]
    columns, rows = (east - LEFT) / PIXEL - 0.5, (TOP - north) / PIXEL - 0.5
    np.testing.assert_allclose(heights[np.rint(rows).astype(int), np.rint(columns).astype(int)], up,
                               atol=1e-3)  # fmt: skip
    np.testing.assert_allclose(uv[:, 0], (columns + 0.5) / COLUMNS, atol=1e-5)
    # Seen from above, the triangles cover the known area once.
    a, b, c = (points[faces[:, i]] for i in range(3))
    area = np.cross(b - a, c - a)[:, 1] / 2
    assert (area > 0).all()
    expected = (ROWS - 1) * (COLUMNS - 1) - 11 * 16
    # At each corner of the void, triangles may enter up to two cells without covering its pixels.
    assert 0 <= area.sum() / PIXEL**2 - expected <= 8


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_obj_refers_to_its_material_and_picture(surface: Path, image: Path, tmp_path: Path) -> None:
    result = export(surface, tmp_path / "m.obj", image=image, tolerance=1.0)
    lines = result.path.read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == result.points
    assert sum(line.startswith("f ") for line in lines) == result.triangles
    assert "mtllib m.mtl" in lines
    assert "map_Kd m.jpg" in (tmp_path / "m.mtl").read_text()
    with rasterio.open(tmp_path / "m.jpg") as file:
        picture = file.read()
    assert picture.shape == (3, ROWS, COLUMNS)
    assert picture[0, :, -5].mean() > picture[0, :, 5].mean() + 100


def test_invalid_inputs_are_refused(surface: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name it with one of"):
        export(surface, tmp_path / "x.tif")
    with pytest.raises(UsageError, match=r"\.las, \.laz, \.ply, \.glb, \.obj"):
        export(surface, tmp_path / "x.xyz")
    with pytest.raises(UsageError, match="has no band 3"):
        export(surface, tmp_path / "x.ply", band=3)
    with pytest.raises(UsageError, match="the tolerance is -1"):
        export(surface, tmp_path / "x.ply", tolerance=-1)
    with pytest.raises(ResourceError, match="no such file"):
        export(tmp_path / "none.tif", tmp_path / "x.ply")
    empty = write_raster(tmp_path / "e.tif", np.full((9, 9), np.nan, np.float32), nodata=np.nan)
    with pytest.raises(DataError, match="contains no height"):
        export(empty, tmp_path / "x.glb")
    bare = write_raster(tmp_path / "d.tif", terrain(9, 9), crs=None)
    with pytest.raises(DataError, match="no coordinate reference system"):
        export(bare, tmp_path / "x.ply")
    assert not list(tmp_path.glob("*x.*"))
    assert CRS == "EPSG:32633"
