"""Exports read heights and colours like other commands, and have coordinates in metres."""

import errno
import json
import struct
from collections.abc import Callable
from pathlib import Path

import laspy
import numpy as np
import pytest
from rasterio.transform import Affine, from_origin

from conftest import LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.demo.sample import sample_files
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.exports import clouds, meshes
from demiurge.exports.export import export

Write = Callable[..., Path]


def points_of(path: Path) -> np.ndarray:
    cloud = laspy.read(path)
    return np.stack([cloud.x, cloud.y, cloud.z], axis=1)


def mesh_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices as east, north, up from the origin, and triangles."""
    content = path.read_bytes()
    size = struct.unpack_from("<I", content, 12)[0]
    head, body = json.loads(content[20 : 20 + size]), content[28 + size :]
    parts = [body[v["byteOffset"] :][: v["byteLength"]] for v in head["bufferViews"]]
    x, y, z = np.frombuffer(parts[0], "<f4").reshape(-1, 3).T
    return np.stack([x, -z, y], axis=1), np.frombuffer(parts[2], "<u4").reshape(-1, 3)


def areas(path: Path) -> np.ndarray:
    """Return the signed areas of triangles seen from above."""
    vertices, faces = mesh_of(path)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.asarray(np.cross(b - a, c - a)[:, 2] / 2)


def test_scale_offset_and_undeclared_voids(raster: Write, tmp_path: Path) -> None:
    stored = np.rint(terrain(40, 50) * 100).astype(np.int16)
    stored[:3] = -9999
    packed = raster("p.tif", stored, scale=0.01, offset=-20.0)
    points = points_of(export(packed, tmp_path / "p.las").path)
    assert len(points) == 37 * 50
    np.testing.assert_allclose(points[:, 2], stored[3:].ravel() * 0.01 - 20, atol=2e-3)


def test_the_shipped_sample_is_in_metres(tmp_path: Path) -> None:
    points = points_of(export(sample_files()["dsm"], tmp_path / "p.las").path)
    assert 0 < np.median(points[:, 2]) < 60


@pytest.mark.parametrize("kind", ["las", "laz"])
def test_huge_undeclared_values_are_voids(raster: Write, tmp_path: Path, kind: str) -> None:
    heights = terrain(40, 50)
    heights[5, :7], heights[6, :7] = np.float32(-3.4e38), np.float32(3e9)
    result = export(raster("h.tif", heights), tmp_path / f"p.{kind}")
    assert result.points == 40 * 50 - 14
    z = np.asarray(laspy.read(result.path).z)
    assert 60 < z.min() < z.max() < 140


def test_las_of_a_continent(raster: Write, tmp_path: Path) -> None:
    """Millimetres from the centre exceed 32 bits; the coordinate step is larger."""
    wide = from_origin(1_021_000, 6_510_000, 600_000, 600_000)
    result = export(
        raster("c.tif", terrain(11, 11), crs="EPSG:3035", transform=wide), tmp_path / "p.las"
    )
    x = np.asarray(laspy.read(result.path).x)
    np.testing.assert_allclose([x.min(), x.max()], [1_321_000, 7_321_000], atol=0.01)


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (OverflowError("too big"), DataError, "LAS cannot store"),
        (RuntimeError("failed to write to the encoder"), ResourceError, "cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError, "free some space"),
    ],
)
def test_failing_codecs_give_one_sentence(
    raster: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    kind: type[Exception],
    message: str,
) -> None:
    surface = raster("h.tif", terrain(40, 50))

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(laspy.LasWriter, "write_points", fail)
    with pytest.raises(kind, match=message):
        export(surface, tmp_path / "p.laz")
    assert not list(tmp_path.glob("*p.*laz"))


@pytest.mark.parametrize(
    ("kind", "writer"),
    [("las", clouds._Las), ("ply", clouds._Ply), ("glb", meshes._Glb), ("obj", meshes._Obj)],
)
def test_a_full_disk_leaves_no_file(
    raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, writer: type
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "add", full)
    surface = raster("h.tif", terrain(40, 50))
    image = raster("i.tif", np.ones((40, 50), np.uint8))
    with pytest.raises(ResourceError, match=r"No space left on device.*free some space"):
        export(surface, tmp_path / f"m.{kind}", image=image)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h.tif", "i.tif"]


def test_an_oversized_glb_names_the_option(
    raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meshes, "_GLB_LIMIT", 1000)
    with pytest.raises(ResourceError, match="allow a larger --thin"):
        export(raster("h.tif", terrain(40, 50)), tmp_path / "m.glb")


SOUTH_UP = Affine(PIXEL, 0, LEFT, 0, PIXEL, TOP - 40 * PIXEL)
MIRRORED = Affine(-PIXEL, 0, LEFT + 50 * PIXEL, 0, -PIXEL, TOP)
TURNED = Affine.translation(LEFT, TOP) * Affine.rotation(30) * Affine.scale(PIXEL, -PIXEL)


@pytest.mark.parametrize("transform", [SOUTH_UP, MIRRORED, TURNED])
def test_triangles_face_up_for_any_orientation_of_rows(
    raster: Write, tmp_path: Path, transform: Affine
) -> None:
    heights = terrain(40, 50)
    surface = raster("h.tif", heights, transform=transform)
    result = areas(export(surface, tmp_path / "m.glb", tolerance=0.5).path)
    assert (result > 0).all()
    np.testing.assert_allclose(result.sum(), 39 * 49 * PIXEL**2, rtol=1e-4)
    # Every pixel keeps its position and height.
    rows, columns = np.indices(heights.shape)
    x, y = transform @ (columns.ravel() + 0.5, rows.ravel() + 0.5)
    points = points_of(export(surface, tmp_path / "p.las").path)
    np.testing.assert_allclose(points, np.stack([x, y, heights.ravel()], 1), atol=2e-3)


def test_triangles_of_obj_face_up(raster: Write, tmp_path: Path) -> None:
    surface = raster("h.tif", terrain(40, 50), transform=SOUTH_UP)
    lines = export(surface, tmp_path / "m.obj", tolerance=0.5).path.read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    faces = [[int(c.split("/")[0]) for c in line.split()[1:]] for line in lines if line[:2] == "f "]
    a, b, c = (vertices[np.array(faces)[:, i] - 1] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


LATITUDE = 36.0


@pytest.mark.parametrize(
    ("crs", "transform", "width", "height"),
    [
        ("EPSG:4326", from_origin(15.0, LATITUDE, 2e-5, 2e-5), 50 * 1.803, 40 * 2.219),
        ("EPSG:3857", from_origin(1_669_792, 4_300_621, 2.0, 2.0), 50 * 1.619, 40 * 1.616),
        ("EPSG:2263", from_origin(980_000, 200_000, 6.5616667, 6.5616667), 100.0, 80.0),
    ],
)
def test_rasters_not_in_metres_are_warped_to_utm(
    raster: Write, tmp_path: Path, crs: str, transform: Affine, width: float, height: float
) -> None:
    surface = raster("h.tif", terrain(40, 50), crs=crs, transform=transform, unit="m")
    result = export(surface, tmp_path / "m.glb", tolerance=0.0)
    assert any("reprojected to" in note for note in result.notes), result.notes
    vertices, _ = mesh_of(result.path)
    extent = np.ptp(vertices, axis=0)
    # Warped corners are void, and the UTM grid is slightly rotated.
    np.testing.assert_allclose(extent[:2], [width, height], rtol=0.06)
    assert (areas(result.path) > 0).all()


def test_feet_are_refused_with_the_cure(raster: Write, tmp_path: Path) -> None:
    for unit in ("ft", "US survey foot"):
        surface = raster("f.tif", terrain(40, 50), unit=unit)
        with pytest.raises(DataError, match=r"0\.3048"):
            export(surface, tmp_path / "p.ply")
    surface = raster("s.tif", terrain(40, 50), crs="EPSG:2263")
    with pytest.raises(DataError, match=r"feet|foot"):
        export(surface, tmp_path / "p.ply")
    assert not list(tmp_path.glob("p.*"))


def test_relative_heights_are_noted(raster: Write, tmp_path: Path) -> None:
    import rasterio

    surface = raster("r.tif", terrain(40, 50), unit="relative")
    with rasterio.open(surface, "r+") as file:
        file.update_tags(units="relative")
    result = export(surface, tmp_path / "p.ply")
    assert result.points == 40 * 50
    assert any("relative, not metres" in note for note in result.notes)


def test_a_single_grey_band_gives_colours(raster: Write, tmp_path: Path) -> None:
    grey = np.tile(np.arange(50, dtype=np.uint16) * 40, (40, 1))
    image = raster("WV03_20200101.tif", grey)
    result = export(raster("h.tif", terrain(40, 50)), tmp_path / "p.las", image=image)
    cloud = laspy.read(result.path)
    assert np.corrcoef(cloud.x, cloud.red)[0, 1] > 0.99
    assert (cloud.red == cloud.blue).all()


def test_an_image_of_another_place_is_refused(raster: Write, tmp_path: Path) -> None:
    far = from_origin(LEFT + 1e5, TOP, PIXEL, PIXEL)
    image = raster("far.tif", np.ones((40, 50), np.uint8), transform=far)
    with pytest.raises(DataError, match="has no colour on the surface"):
        export(raster("h.tif", terrain(40, 50)), tmp_path / "m.glb", image=image)
    several = raster("several.tif", np.ones((4, 40, 50), np.float32))
    with pytest.raises(UsageError, match="has no red, green and blue"):
        export(raster("h.tif", terrain(40, 50)), tmp_path / "m.glb", image=several)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_companions_of_an_obj_replace_no_files(raster: Write, tmp_path: Path) -> None:
    surface = raster("h.tif", terrain(40, 50))
    image = write_raster(tmp_path / "m.jpg.tif", np.ones((40, 50), np.uint8))
    image = image.rename(tmp_path / "m.jpg")
    before = image.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"m\.jpg: is an input of this command"):
            export(surface, tmp_path / "m.obj", image=image, overwrite=overwrite)
    assert image.read_bytes() == before
    (tmp_path / "n.mtl").write_text("mine")
    with pytest.raises(UsageError, match=r"n\.mtl: exists already"):
        export(surface, tmp_path / "n.obj", image=image)
    assert (tmp_path / "n.mtl").read_text() == "mine"
    export(surface, tmp_path / "n.obj")  # writes no material
    export(surface, tmp_path / "n.obj", image=image, overwrite=True)
    assert "n.jpg" in (tmp_path / "n.mtl").read_text()
