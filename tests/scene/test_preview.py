"""Summaries of scenes and bundles for notebooks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from conftest import LEFT, TOP, blur_graph, make_bundle, terrain
from demiurge import scene_from_files, scene_from_xarray
from demiurge.scene.camera import Direction
from test_summary import parsed

Write = Callable[..., Path]


def test_a_scene_shows_pictures_grid_layers_and_origin(raster: Write) -> None:
    coarse = Affine(30, 0, LEFT, 0, -30, TOP)
    files = {
        "dsm": raster("<dsm>.tif", terrain(300, 500), crs="EPSG:32633+5773"),
        "ortho_left": raster("left.tif", terrain(300, 500)),
        "dem_prior": raster("prior.tif", terrain(20, 34), transform=coarse),
    }
    sun = Direction(151.3, 48)
    scene = scene_from_files(files, name="a <b>", sun=sun, views={"ortho_left": Direction(90, 60)})
    page = parsed(scene._repr_html_())
    for text in (
        "a <b>", "300 × 500 pixels of 2 m (0.6 km²)", "orthometric (EGM96 height)", "x 500000 to",
        "<dsm>.tif, band 1", "ortho_left", "computed", "30 m", str(sun), "ortho_left from",
    ):  # fmt: skip
        assert text in page.text
    images = [attributes for tag, attributes in page.seen if tag == "img"]
    assert images[0]["alt"] == "ortho_left"
    assert str(images[1]["alt"]).startswith("dsm, ")
    assert (images[0]["width"], images[0]["height"]) == ("167", "100")
    assert repr(scene).count("PROJCS") == 0


def test_no_picture_is_better_than_a_slow_or_failing_one(raster: Write) -> None:
    path = raster("dsm.tif", terrain(50, 60))
    scene = scene_from_files({"dsm": path})
    path.unlink()
    page = parsed(scene._repr_html_())
    assert "not shown" in page.text and "dsm.tif" in page.text
    rioxarray = pytest.importorskip("rioxarray")
    lazy = rioxarray.open_rasterio(raster("lazy.tif", terrain(50, 60)))
    page = parsed(scene_from_xarray({"dsm": lazy})._repr_html_())
    assert "not shown: the arrays are not computed" in page.text
    page = parsed(scene_from_xarray({"dsm": lazy.load()})._repr_html_())
    assert [tag for tag, _ in page.seen].count("img") == 1


def test_a_scene_of_images_and_one_without_data(raster: Write) -> None:
    rgb = raster("rgb.tif", np.stack([terrain(40, 50, seed=s) for s in range(3)]))
    scene = scene_from_files({n: f"{rgb}:{b}" for b, n in enumerate(("red", "green", "blue"), 1)})
    page = parsed(scene._repr_html_())
    assert [a["alt"] for tag, a in page.seen if tag == "img"] == ["red, green, blue"]
    empty = raster("dsm.tif", np.full((40, 50), np.nan, np.float32))
    parsed(scene_from_files({"dsm": empty})._repr_html_())


def test_a_bundle_shows_its_card(tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "<b>.bundle", layers=("dsm", "ortho_left"), optional=("ortho_left",),
        graph=blur_graph(4, 2), recipe={"chips": {"size": 64}},
    )  # fmt: skip
    page = parsed(bundle._repr_html_())
    for text in ("<b>", "refine", "optional", "left panchromatic image", "chips", "{'size': 64}"):
        assert text in page.text
