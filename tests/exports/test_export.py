"""Point clouds and meshes, read back by others' readers where there are any."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import CRS, LEFT, PIXEL, TOP, make_bundle, terrain, write_raster
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.exports import pieces
from demiurge.exports.export import export
from demiurge.layers import layer
from demiurge.scene.source import Source

ROWS, COLUMNS = 130, 170


@pytest.fixture
def heights() -> np.ndarray:
    found = terrain(ROWS, COLUMNS)
    found[40:50, 60:75] = np.nan
    return found


@pytest.fixture
def surface(tmp_path: Path, heights: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pieces, "SIDE", 64)
    return write_raster(tmp_path / "dsm.tif", heights, nodata=np.nan)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Red grows to the east, green to the south."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    bands = np.stack([columns, rows, np.full_like(rows, 7)]).astype(np.uint8)
    return write_raster(tmp_path / "rgb.tif", bands, names=["red", "green", "blue"])


def _where(heights: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(np.isfinite(heights))
    x, y = LEFT + PIXEL * (columns + 0.5), TOP - PIXEL * (rows + 0.5)
    return np.stack([x, y, heights[rows, columns]], axis=1)


def _sorted(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort((points[:, 0], -points[:, 1]))]


def test_xyz_has_every_pixel_once(surface: Path, heights: np.ndarray, tmp_path: Path) -> None:
    found = export(surface, tmp_path / "p.xyz")
    assert found.points == np.isfinite(heights).sum()
    points = np.loadtxt(found.path)
    np.testing.assert_allclose(_sorted(points), _where(heights), atol=1e-3)


@pytest.mark.parametrize("kind", ["las", "laz"])
def test_las_has_crs_and_colours(
    surface: Path, image: Path, heights: np.ndarray, tmp_path: Path, kind: str
) -> None:
    laspy = pytest.importorskip("laspy")
    found = export(surface, tmp_path / f"p.{kind}", image=image)
    cloud = laspy.read(found.path)
    assert cloud.header.parse_crs().to_epsg() == 32633
    points = np.stack([cloud.x, cloud.y, cloud.z], axis=1)
    np.testing.assert_allclose(_sorted(points), _where(heights), atol=1e-3)
    red, east = np.asarray(cloud.red), np.asarray(cloud.x)
    assert np.corrcoef(red, east)[0, 1] > 0.99
    assert red.max() == 65535


def test_ply_counts_and_tells_its_origin(
    surface: Path, image: Path, heights: np.ndarray, tmp_path: Path
) -> None:
    found = export(surface, tmp_path / "p.ply", image=image)
    head, body = found.path.read_bytes().split(b"end_header\n", 1)
    text = head.decode()
    assert f"element vertex {found.points}" in text
    origin = np.array(text.split("comment origin ")[1].split("\n")[0].split(), float)
    kind = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    points = np.frombuffer(body, kind)
    assert len(points) == found.points
    np.testing.assert_allclose(_sorted(points["xyz"] + origin), _where(heights), atol=1e-3)


def test_thinning_leaves_out_points_of_the_surface(
    surface: Path, heights: np.ndarray, tmp_path: Path
) -> None:
    found = export(surface, tmp_path / "p.xyz", tolerance=1.0)
    assert found.points < 0.5 * np.isfinite(heights).sum()
    points = np.loadtxt(found.path)
    everything = {tuple(p) for p in np.round(_where(heights), 3)}
    assert all(tuple(p) in everything for p in np.round(points, 3))
    assert len({tuple(p[:2]) for p in points}) == len(points), "none twice at borders"


def _glb(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", content)
    assert (magic, version, total) == (b"glTF", 2, len(content))
    size = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def test_glb_is_a_textured_mesh_within_its_tolerance(
    surface: Path, image: Path, heights: np.ndarray, tmp_path: Path
) -> None:
    found = export(surface, tmp_path / "m.glb", image=image, tolerance=0.5)
    scene, body = _glb(found.path)
    views = [(v["byteOffset"], v["byteLength"]) for v in scene["bufferViews"]]
    points = np.frombuffer(body[: views[0][1]], "<f4").reshape(-1, 3)
    uv = np.frombuffer(body[views[1][0] : sum(views[1])], "<f4").reshape(-1, 2)
    faces = np.frombuffer(body[views[2][0] : sum(views[2])], "<u4").reshape(-1, 3)
    picture = body[views[3][0] : sum(views[3])]
    assert picture[:2] == b"\xff\xd8"
    assert (len(points), len(faces)) == (found.points, found.triangles)
    assert faces.max() == len(points) - 1
    np.testing.assert_allclose(points.min(axis=0), scene["accessors"][0]["min"])
    origin = np.array(scene["scenes"][0]["extras"]["origin"])
    assert "33N" in scene["scenes"][0]["extras"]["crs"]
    east, north, up = points[:, 0] + origin[0], origin[1] - points[:, 2], points[:, 1]
    columns, rows = (east - LEFT) / PIXEL - 0.5, (TOP - north) / PIXEL - 0.5
    np.testing.assert_allclose(heights[np.rint(rows).astype(int), np.rint(columns).astype(int)], up,
                               atol=1e-3)  # fmt: skip
    np.testing.assert_allclose(uv[:, 0], (columns + 0.5) / COLUMNS, atol=1e-5)
    # Seen from above all triangles cover what is known, once.
    a, b, c = (points[faces[:, i]] for i in range(3))
    area = np.cross(b - a, c - a)[:, 1] / 2
    assert (area > 0).all()
    expected = (ROWS - 1) * (COLUMNS - 1) - 11 * 16
    assert 0 <= area.sum() / PIXEL**2 - expected <= 2, "cells at the void's corners may be halved"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_obj_lies_beside_its_picture(surface: Path, image: Path, tmp_path: Path) -> None:
    found = export(surface, tmp_path / "m.obj", image=image, tolerance=1.0)
    lines = found.path.read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == found.points
    assert sum(line.startswith("f ") for line in lines) == found.triangles
    assert "mtllib m.mtl" in lines
    assert "map_Kd m.jpg" in (tmp_path / "m.mtl").read_text()
    with rasterio.open(tmp_path / "m.jpg") as file:
        picture = file.read()
    assert picture.shape == (3, ROWS, COLUMNS)
    assert picture[0, :, -5].mean() > picture[0, :, 5].mean() + 100


def test_bad_input(surface: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name it with one of"):
        export(surface, tmp_path / "x.tif")
    with pytest.raises(UsageError, match="has no band 3"):
        export(surface, tmp_path / "x.ply", band=3)
    with pytest.raises(UsageError, match="the tolerance is -1"):
        export(surface, tmp_path / "x.ply", tolerance=-1)
    with pytest.raises(ResourceError, match="no such file"):
        export(tmp_path / "none.tif", tmp_path / "x.ply")
    empty = write_raster(tmp_path / "e.tif", np.full((9, 9), np.nan, np.float32), nodata=np.nan)
    with pytest.raises(DataError, match="holds no height"):
        export(empty, tmp_path / "x.glb")
    bare = write_raster(tmp_path / "d.tif", terrain(9, 9), crs=None)
    with pytest.raises(DataError, match="no coordinate reference system"):
        export(bare, tmp_path / "x.ply")
    assert not list(tmp_path.glob("*x.*"))
    assert CRS == "EPSG:32633"


def test_a_result_may_be_asked_for_as_a_cloud(surface: Path, tmp_path: Path) -> None:
    """The raster in between does not stay."""
    found = demiurge.refine(
        surface, tmp_path / "better.xyz", bundle=make_bundle(tmp_path / "a.bundle")
    )
    assert found.path == tmp_path / "better.xyz"
    assert len(np.loadtxt(found.path)) == ROWS * COLUMNS
    assert not list(tmp_path.glob(".better*"))


def test_progress_counts_every_pixel_once(tmp_path: Path) -> None:
    """Also those of pieces that hold nothing; 700 is one whole piece and part of another."""
    heights = terrain(700, 600)
    heights[512:, :512] = np.nan
    told: list[float] = []
    source = Source.open(write_raster(tmp_path / "s.tif", heights), layer("dsm"))
    list(pieces.pieces(source, source.grid, None, None, mesh=False, advance=told.append))
    assert len(told) == 4
    assert sum(told) == pytest.approx(0.42)
