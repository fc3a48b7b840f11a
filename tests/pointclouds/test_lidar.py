"""Scenes from point clouds with known surfaces."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demiurge
from conftest import write_raster
from demiurge.errors import DataError, UsageError
from demiurge.scene.scene import Scene
from pointclouds.clouds import BOTTOM, LEFT, cloud, header, lattice, plane, write


def centres(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    a = scene.grid.affine
    x = a.c + (np.arange(scene.shape[1]) + 0.5) * a.a
    y = a.f + (np.arange(scene.shape[0]) + 0.5) * a.e
    return np.broadcast_to(x, scene.shape), np.broadcast_to(y[:, None], scene.shape)


def layer(scene: Scene, name: str) -> np.ndarray:
    return scene.read(None, [name])[0]


def make(tmp_path: Path, data: Any, **options: Any) -> Scene:
    path = write(tmp_path / "points.laz", data)
    return demiurge.lidar(path, tmp_path / "scene", **{"gsd": 1.0, "jobs": 2, **options})


def test_a_plane_with_a_building_and_trees(tmp_path: Path) -> None:
    x, y = lattice(60, 0.4)
    z, classes = plane(x, y), np.full(x.size, 2)
    roof = (x - LEFT > 20) & (x - LEFT < 32) & (y - BOTTOM > 20) & (y - BOTTOM < 30)
    z[roof], classes[roof] = 130.0, 6
    tree = np.flatnonzero((x - LEFT > 45) & (y - BOTTOM > 45))[::2]
    z[tree], classes[tree] = z[tree] + 8, 5
    scene = make(tmp_path, cloud(x, y, z, classes, intensity=500))
    assert scene.layers == (
        "truth_dsm", "truth_dtm", "intensity", "point_density", "valid", "truth_height",
    )  # fmt: skip
    assert scene.shape == (60, 60)
    cx, cy = centres(scene)
    surface, ground = layer(scene, "truth_dsm"), layer(scene, "truth_dtm")
    expected = plane(cx, cy)
    known = np.isfinite(ground)
    assert known[1:-1, 1:-1].all()
    # The triangles span the building of 12 m × 10 m; the scale of the file is 1 mm.
    np.testing.assert_allclose(ground[known], expected[known], atol=2e-3)
    inside = (cx - LEFT > 21) & (cx - LEFT < 31) & (cy - BOTTOM > 21) & (cy - BOTTOM < 29)
    np.testing.assert_allclose(surface[inside], 130, atol=1e-3)
    open_ground = (cx - LEFT < 18) & (cy - BOTTOM < 40)
    # The highest point of a pixel is higher than its centre by at most half a pixel of slope.
    assert 0 <= (surface - expected)[open_ground].mean() <= 0.075
    canopy = (cx - LEFT > 46) & (cy - BOTTOM > 46)
    np.testing.assert_allclose((surface - expected)[canopy], 8, atol=0.08)
    assert layer(scene, "intensity")[inside].mean() == 500
    assert layer(scene, "point_density").mean() == pytest.approx(x.size / 3600)
    assert (layer(scene, "valid") == np.isfinite(surface)).all()
    report = json.loads((tmp_path / "scene" / "lidar.json").read_text("utf-8"))
    assert report["points"]["used"] == x.size


def test_tiles_have_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from demiurge.pointclouds import reading, store

    x, y = lattice(90, 0.7)
    rng = np.random.default_rng(1)
    z = plane(x, y) + rng.normal(0, 1, x.size)
    classes = np.where(rng.random(x.size) < 0.3, 2, 1)
    data = cloud(x, y, z, classes)
    single = make(tmp_path, data)
    monkeypatch.setattr(reading, "tile_side", lambda shape, points: 32)
    monkeypatch.setattr(store, "MOST", 400)  # tiles are read in strips
    tiled = demiurge.lidar(tmp_path / "points.laz", tmp_path / "tiled", gsd=1.0, max_gap=12)
    single = demiurge.lidar(
        tmp_path / "points.laz", tmp_path / "scene", gsd=1.0, max_gap=12, overwrite=True
    )
    for name in single.layers:
        np.testing.assert_allclose(layer(tiled, name), layer(single, name), atol=1e-4)


def test_the_98th_percentile(tmp_path: Path) -> None:
    heights = np.arange(101.0)
    x, y = np.full(101, LEFT + 0.5), np.full(101, BOTTOM + 0.5)
    more = np.array([LEFT + 3.5, LEFT + 0.2]), np.array([BOTTOM + 3.5, BOTTOM + 3.6])
    data = cloud(np.r_[x, more[0]], np.r_[y, more[1]], np.r_[heights, 50.0, 50.0])
    scene = make(tmp_path, data, surface="p98", spikes=0)
    assert layer(scene, "truth_dsm")[-1, 0] == pytest.approx(98)
    highest = make(tmp_path, data, surface="max", spikes=0, overwrite=True)
    assert layer(highest, "truth_dsm")[-1, 0] == 100


def test_noise_and_withheld_points_are_dropped(tmp_path: Path) -> None:
    x, y = lattice(20, 0.5)
    z, classes = plane(x, y), np.full(x.size, 2)
    withheld = np.zeros(x.size, np.uint8)
    z[10], classes[10] = 900, 7
    z[20], classes[20] = 900, 18
    z[30], withheld[30] = 900, 1
    scene = make(tmp_path, cloud(x, y, z, classes, withheld=withheld), spikes=0)
    assert layer(scene, "truth_dsm").max() < 110
    assert any("3 points are noise" in note for note in scene.notes)


def test_isolated_spikes_are_dropped_and_summits_stay(tmp_path: Path) -> None:
    x, y = lattice(80, 0.4)
    distance = np.hypot(x - LEFT - 20, y - BOTTOM - 20)
    z = plane(x, y) + np.maximum(0, 60 - 4 * distance)  # a cone of 76 degrees, 60 m high
    mast = np.hypot(x - LEFT - 60, y - BOTTOM - 20) < 0.5
    z[mast] = np.linspace(110, 150, mast.sum())  # points all the way up
    number = x.size
    birds_x, birds_y = np.array([LEFT + 60.5, LEFT + 40.5]), np.array([BOTTOM + 60.5, BOTTOM + 61])
    data = cloud(np.r_[x, birds_x], np.r_[y, birds_y], np.r_[z, 400.0, -300.0], 1)
    scene = make(tmp_path, data, ground="filter")
    surface = layer(scene, "truth_dsm")
    cx, cy = centres(scene)
    assert surface[np.hypot(cx - LEFT - 20, cy - BOTTOM - 20) < 1].max() > 157
    bird = (np.abs(cx - LEFT - 60.5) < 0.1) & (np.abs(cy - BOTTOM - 60.5) < 0.1)
    # The point beneath the bird takes its place.
    np.testing.assert_allclose(surface[bird], plane(cx, cy)[bird], atol=0.1)
    assert np.nanmin(surface) > 90
    assert surface.max() < 165
    assert any("isolated points are dropped in 1 pixels" in note for note in scene.notes)
    kept = make(tmp_path, data, ground="filter", spikes=0, overwrite=True)
    assert layer(kept, "truth_dsm").max() == 400
    assert number == x.size


def test_holes_are_void(tmp_path: Path) -> None:
    x, y = lattice(80, 0.5)
    hole = (np.abs(x - LEFT - 40) < 20) & (np.abs(y - BOTTOM - 40) < 20)
    scene = make(tmp_path, cloud(x[~hole], y[~hole], plane(x, y)[~hole]), max_gap=10)
    cx, cy = centres(scene)
    deep = (np.abs(cx - LEFT - 40) < 15) & (np.abs(cy - BOTTOM - 40) < 15)
    for name in ("truth_dsm", "truth_dtm", "intensity"):
        assert np.isnan(layer(scene, name)[deep]).all(), name
    assert layer(scene, "valid")[deep].max() == 0
    assert layer(scene, "point_density")[deep].max() == 0


def test_strips_overlap_and_copies_count_once(tmp_path: Path) -> None:
    x, y = lattice(40, 0.5)
    west = x < LEFT + 25
    write(tmp_path / "a.laz", cloud(x[west], y[west], plane(x, y)[west]))
    east = x > LEFT + 15
    write(tmp_path / "b.las", cloud(x[east], y[east], plane(x, y)[east]))
    (tmp_path / "c.laz").write_bytes((tmp_path / "a.laz").read_bytes())
    scene = demiurge.lidar(tmp_path, tmp_path / "scene", gsd=1.0)
    assert any("c.laz is a copy of" in note for note in scene.notes)
    density = layer(scene, "point_density")
    cx, _ = centres(scene)
    overlap = (cx > LEFT + 16) & (cx < LEFT + 24)
    assert density[overlap].mean() == pytest.approx(2 * density[cx < LEFT + 14].mean(), rel=0.02)
    assert np.nanmax(np.abs(layer(scene, "truth_dtm") - plane(*centres(scene)))) < 2e-3


def test_points_without_classes_are_filtered(tmp_path: Path) -> None:
    pytest.importorskip("CSF")
    x, y = lattice(60, 0.5)
    z = plane(x, y)
    roof = (np.abs(x - LEFT - 30) < 6) & (np.abs(y - BOTTOM - 30) < 6)
    z[roof] += 9
    scene = make(tmp_path, cloud(x, y, z, 1))
    ground = layer(scene, "truth_dtm")
    known = np.isfinite(ground)
    assert known.mean() > 0.9
    assert np.abs(ground - plane(*centres(scene)))[known].max() < 0.6
    assert any("cloth simulation filter" in note for note in scene.notes)
    with pytest.raises(DataError, match="no point has the class 2"):
        make(tmp_path, cloud(x, y, z, 1), ground="classes", overwrite=True)


def test_the_grid_of_another_raster(tmp_path: Path) -> None:
    x, y = lattice(40, 0.5)
    path = write(tmp_path / "points.laz", cloud(x, y, plane(x, y)))
    from rasterio.transform import from_origin

    like = write_raster(
        tmp_path / "like.tif",
        np.zeros((15, 25), np.float32),
        transform=from_origin(LEFT + 3.3, BOTTOM + 30.7, 1.5, 1.5),
    )
    scene = demiurge.lidar(path, tmp_path / "scene", like=like)
    assert scene.shape == (15, 25)
    assert scene.grid.affine == from_origin(LEFT + 3.3, BOTTOM + 30.7, 1.5, 1.5)
    assert np.nanmax(np.abs(layer(scene, "truth_dtm") - plane(*centres(scene)))) < 2e-3
    again = demiurge.lidar(path, tmp_path / "again", like=tmp_path / "scene")
    np.testing.assert_array_equal(layer(again, "truth_dsm"), layer(scene, "truth_dsm"))
    with pytest.raises(UsageError, match="--like sets"):
        demiurge.lidar(path, tmp_path / "x", like=like, gsd=1.0)


def test_bounds_and_snapping(tmp_path: Path) -> None:
    x, y = lattice(40, 0.5)
    box = (LEFT + 9.7, BOTTOM + 5.2, LEFT + 20.1, BOTTOM + 15.9)
    scene = make(tmp_path, cloud(x, y, plane(x, y)), gsd=0.5, bounds=box)
    a = scene.grid.affine
    assert (a.c, a.f) == (LEFT + 9.5, BOTTOM + 16)
    assert scene.shape == (22, 22)
    with pytest.raises(DataError, match="no file has points in the bounds"):
        make(tmp_path, cloud(x, y, plane(x, y)), bounds=(0, 0, 9, 9), overwrite=True)


def test_colours(tmp_path: Path) -> None:
    x, y = lattice(20, 0.5)
    made = header(point_format=7)
    data = cloud(x, y, plane(x, y), made=made, red=100, green=np.arange(x.size) % 2 * 400, blue=7)
    scene = make(tmp_path, data, gsd=4.0)
    assert {"red", "green", "blue"} <= set(scene.layers)
    assert layer(scene, "red").min() == layer(scene, "red").max() == 100
    assert np.abs(layer(scene, "green") - 200).max() < 40


def test_heights_far_above_the_ground_are_dropped(tmp_path: Path) -> None:
    x, y = lattice(40, 0.5)
    cloudy = np.hypot(x - LEFT - 20, y - BOTTOM - 20) < 5
    data = cloud(
        np.r_[x, x[cloudy]],
        np.r_[y, y[cloudy]],
        np.r_[plane(x, y), plane(x, y)[cloudy] + 500],
        np.r_[np.full(x.size, 2), np.full(cloudy.sum(), 1)],
    )
    assert np.nanmax(layer(make(tmp_path, data), "truth_height")) > 400
    scene = make(tmp_path, data, max_height=100, overwrite=True)
    assert np.nanmax(layer(scene, "truth_height")) < 1
    assert np.isfinite(layer(scene, "truth_dsm")).mean() > 0.99
