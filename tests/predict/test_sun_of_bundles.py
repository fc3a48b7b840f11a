"""Bundles that see the sun: windows turned to it, its planes, its origin, its range."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import CRS, make_bundle, plane_graph, terrain, write_raster
from demiurge import Options
from demiurge.errors import UsageError
from demiurge.model.bundle import Bundle, SunRange
from demiurge.raster.orientation import ORIENTATIONS, Orientation, unit_vector
from demiurge.raster.shading import incidence
from demiurge.scene.camera import Direction
from demiurge.scene.grid import local_grid
from demiurge.scene.open import scene_from_files
from demiurge.scene.scene import Scene
from demiurge.scene.sunlight import ASSUMED, find_sun

LAYERS = ("dem_prior", "red")
#: Two layers, their masks, then right, up and high parts of the sun's direction, and incidence.
RIGHT, UP, HIGH, INCIDENCE = 4, 5, 6, 7


def bundle_of(path: Path, plane: int, **options: object) -> Bundle:
    """Return a bundle whose heights are its prior plus an input plane, in metres."""
    return make_bundle(
        path, task="generate", layers=LAYERS, base="dem_prior", targets=("dtm",), scale=1.0,
        graph=plane_graph(8, [plane, None]), sun=True, **options,
    )  # fmt: skip


def scene_of(
    folder: Path, orientation: Orientation | None = None, sun: Direction | None = None
) -> Scene:
    """Return a scene of one window, heights rounded to metres, turned by an orientation."""
    planes = np.stack([np.rint(terrain(64, 64)), np.rint(50 * terrain(64, 64, seed=1))])
    planes = planes if orientation is None else orientation.apply(planes)
    files = {
        name: write_raster(folder / f"{name}.tif", np.ascontiguousarray(plane))
        for name, plane in zip(LAYERS, planes, strict=True)
    }
    return replace(scene_from_files(files, name="scene"), sun=sun)


def heights_of(scene: Scene, bundle: Bundle, folder: Path, **options: object) -> np.ndarray:
    """Return the heights that the network adds to the prior."""
    chosen = Options(prior_accuracy=float("inf"), **options)
    demiurge.generate(scene, folder / "out.tif", bundle=bundle, options=chosen, overwrite=True)
    with rasterio.open(folder / "out.tif") as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize("azimuth", [10, 60, 100, 150, 200, 250, 300, 350])
def test_the_network_sees_the_incidence_on_the_prior(tmp_path: Path, azimuth: float) -> None:
    sun = Direction(azimuth, 40)
    scene = scene_of(tmp_path, sun=sun)
    prior = scene.read(layers=["dem_prior"])[0]
    expected = incidence(prior, 2.0, sun.unit) - np.float32(sun.unit[2])
    bundle = bundle_of(tmp_path / "i.bundle", INCIDENCE)
    np.testing.assert_allclose(heights_of(scene, bundle, tmp_path) - prior, expected, atol=2e-5)
    assert np.abs(expected).max() > 0.05


def test_the_direction_is_that_after_turning(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, sun=Direction(329.5, 40))
    prior = scene.read(layers=["dem_prior"])[0]
    for plane, part in zip((RIGHT, UP, HIGH), unit_vector(149.5, 40), strict=True):
        bundle = bundle_of(tmp_path / "d.bundle", plane)
        added = heights_of(scene, bundle, tmp_path) - prior
        np.testing.assert_allclose(added, part, atol=2e-5)


TURNED_SUN = Direction(151.25, 37)


@pytest.fixture(scope="module", params=[INCIDENCE, RIGHT, 1])
def plain(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, np.ndarray]:
    """Return a bundle that adds a plane, and its heights of the scene as it is."""
    folder = tmp_path_factory.mktemp("plain")
    bundle = bundle_of(folder / "t.bundle", request.param)
    return bundle, heights_of(scene_of(folder, sun=TURNED_SUN), bundle, folder)


@pytest.mark.parametrize("orientation", ORIENTATIONS[8])
def test_turned_scenes_under_turned_suns_give_turned_results(
    tmp_path: Path, orientation: Orientation, plain: tuple[Bundle, np.ndarray]
) -> None:
    """To the bit."""
    bundle, expected = plain
    # The inverse of apply moves the vector that undo_vector gets.
    right, up, _ = _applied(orientation, TURNED_SUN)
    moved = Direction(float(np.degrees(np.arctan2(right, up)) % 360), 37)
    turned = heights_of(scene_of(tmp_path, orientation, moved), bundle, tmp_path)
    np.testing.assert_array_equal(turned, orientation.apply(expected[None])[0])


def _applied(orientation: Orientation, sun: Direction) -> np.ndarray:
    """Return the vector to the sun after an orientation."""
    right, up, high = sun.unit
    if orientation.transpose:
        right, up = -up, -right
    if orientation.rows:
        up = -up
    if orientation.columns:
        right = -right
    return np.array([right, up, high])


def test_the_network_sees_light_from_the_south_south_east(tmp_path: Path) -> None:
    """A network that looks east sees what lies across the canonical light, turned back."""
    from conftest import blur_graph

    # The mean of 9 × 9 pixels whose centre is 20 pixels to the west.
    graph = blur_graph(8, 2, east=20)
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=LAYERS, base="dem_prior", targets=("dtm",),
        scale=1.0, graph=graph, sun=True,
    )  # fmt: skip
    scene = scene_of(tmp_path, sun=Direction(151.25, 37))
    opposite = scene_of(tmp_path, sun=Direction(331.25, 37))
    prior = scene.read(layers=["dem_prior"])[0]
    west, east = (heights_of(s, bundle, tmp_path) - prior for s in (scene, opposite))
    assert np.abs(west - east).max() > 1
    turned = scene_of(tmp_path, Orientation(rows=True, columns=True), Direction(331.25, 37))
    again = heights_of(turned, bundle, tmp_path) - turned.read(layers=["dem_prior"])[0]
    np.testing.assert_allclose(again, west[::-1, ::-1], atol=1e-5)


def test_the_assessment_sees_the_sun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At reduced resolution, too, the network gets the incidence on the coarse prior."""
    from demiurge.model.contract import Contract

    seen = []
    encode = Contract.encode

    def spy(self, window, gsd, normals, sun=None):  # type: ignore[no-untyped-def]
        seen.append((gsd, sun))
        return encode(self, window, gsd, normals, sun)

    monkeypatch.setattr(Contract, "encode", spy)
    image = write_raster(tmp_path / "red.tif", np.rint(terrain(256, 256, seed=1)), names=["red"])
    coarse = terrain(256, 256).reshape(64, 4, 64, 4).mean(axis=(1, 3))
    prior = write_raster(
        tmp_path / "p.tif", coarse, transform=rasterio.Affine(8, 0, 500000, 0, -8, 4000000)
    )
    sun = Direction(300, 40)
    scene = replace(scene_from_files({"red": image, "dem_prior": prior}), sun=sun)
    bundle = bundle_of(tmp_path / "a.bundle", INCIDENCE, window=128)
    demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle)
    assert {given for _, given in seen} == {sun}
    assert {gsd for gsd, _ in seen} == {2.0, 8.0}


def test_a_cluster_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    bundle = bundle_of(tmp_path / "c.bundle", INCIDENCE)
    scene = scene_of(tmp_path, sun=Direction(250, 40))
    one = heights_of(scene, bundle, tmp_path)
    many = heights_of(scene, bundle, tmp_path, cluster="local:1")
    np.testing.assert_array_equal(one, many)


def test_relative_heights_without_the_prior_see_the_sun(tmp_path: Path) -> None:
    """The optional base is missing: its incidence is 0, and the planes stay in place."""
    bundle = make_bundle(
        tmp_path / "r.bundle", task="generate", layers=LAYERS, optional=("dem_prior",),
        base="dem_prior", targets=("dtm",), scale=1.0, graph=plane_graph(8, [UP, None]), sun=True,
    )  # fmt: skip
    scene = scene_of(tmp_path, sun=Direction(20, 40))
    alone = replace(scene, sources={"red": scene.sources["red"]})
    demiurge.generate(alone, tmp_path / "o.tif", bundle=bundle)
    with rasterio.open(tmp_path / "o.tif") as file:
        np.testing.assert_allclose(file.read(1), unit_vector(160, 40)[1], atol=1e-6)
    without = bundle.suited(("red",)).contract
    assert without.channels == bundle.contract.channels == 8
    window = scene.read(layers=LAYERS)
    window[0] = np.nan
    planes = without.encode(window, 2.0, without.normals(scene), Direction(20, 40)).planes
    assert not planes[INCIDENCE].any()


def test_what_is_known_of_the_sun_is_told(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "s.bundle", INCIDENCE)
    given = demiurge.generate(
        scene_of(tmp_path, sun=Direction(150, 40)), tmp_path / "g.tif", bundle=bundle
    )
    assert given.tags["sun_from"] == "given"
    assert not any("direction to the sun" in note for note in given.notes)
    found = demiurge.generate(scene_of(tmp_path), tmp_path / "f.tif", bundle=bundle)
    assert found.tags["sun_from"] == "expected"
    assert found.tags["sun"].startswith("azimuth 1")
    assert any("expected from the latitude and the mean of the year" in n for n in found.notes)
    with rasterio.open(tmp_path / "f.tif") as file:
        assert file.tags()["sun_from"] == "expected"


def test_a_sun_unlike_those_of_the_training_gives_a_warning(tmp_path: Path) -> None:
    suns = SunRange(azimuth=(140, 160), elevation=(35, 50))
    bundle = bundle_of(tmp_path / "s.bundle", INCIDENCE, suns=suns)
    for direction, faults in (
        (Direction(320, 40), 0), (Direction(150, 56), 0), (Direction(150, 20), 1),
        (Direction(179, 70), 2),
    ):  # fmt: skip
        surface = demiurge.generate(
            scene_of(tmp_path, sun=direction), tmp_path / "o.tif", bundle=bundle, overwrite=True
        )
        notes = [n for n in surface.notes if "the sun is unlike" in n]
        assert len(notes) == faults
        assert ("sun_outside_training" in surface.tags) == bool(faults)
    assert "elevation 70.0 degrees, training 35.0 to 50.0" in surface.tags["sun_outside_training"]


def test_test_time_augmentation_is_refused(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "s.bundle", INCIDENCE)
    with pytest.raises(UsageError, match="turns each window towards the sun"):
        demiurge.generate(scene_of(tmp_path), tmp_path / "o.tif", bundle=bundle, tta=2)


def test_another_sun_is_another_result(tmp_path: Path) -> None:
    """Keys of checkpoints differ, so that no run resumes with rows of another sun."""
    from demiurge.predict.job import plan

    bundle = bundle_of(tmp_path / "s.bundle", INCIDENCE)
    keys = {
        plan(scene_of(tmp_path, sun=sun), bundle, "generate", tmp_path / "o.tif", Options()).key
        for sun in (Direction(150, 40), Direction(150, 41), None)
    }
    assert len(keys) == 3
    assert CRS.startswith("EPSG")


def test_pictures_without_georeference_have_no_latitude(tmp_path: Path) -> None:
    """Their frame is projected, but about no place: the sun is assumed."""
    grid = local_grid((64, 64), 10.0)
    scene = scene_of(tmp_path)
    assert find_sun(scene).origin == "expected"
    picture = replace(scene, grid=grid, sources={"red": scene.sources["red"]})
    sun = find_sun(picture)
    assert (sun.origin, sun.direction) == ("assumed", ASSUMED)
    assert "neither place nor shading" in sun.note
