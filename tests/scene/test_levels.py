"""Layers of heights with different vertical references."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from geoids import write_geoid

from conftest import terrain
from demiurge.cli.main import app
from demiurge.errors import DataError
from demiurge.scene.check import LayerVerdict, check, require_fit
from demiurge.scene.levels import describe_heights, is_other_level, level_gap
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare

Write = Callable[..., Path]
RNG = np.random.default_rng(3)
NOISE = RNG.normal(0, 1.5, (160, 192)).astype("f4")
SLOPE = np.linspace(44, 47, 192, dtype="f4")[None] + np.zeros((160, 192), "f4")
#: A closed forest of 30 m with few gaps, and one of 45 m in which all heights are high.
FOREST = np.where(RNG.random((160, 192)) < 0.1, 0, RNG.normal(30, 5, (160, 192))).astype("f4")
TALL = RNG.normal(45, 4, (160, 192)).astype("f4")
GLACIER = np.where(np.arange(192) < 130, -40 + 25 * np.sin(np.arange(192) / 20), 0).astype("f4")


def stops(heights: np.ndarray, name: str, base: str = "dsm") -> bool:
    gap = level_gap(terrain() + heights, terrain())
    return gap is not None and is_other_level(gap, name, base)


@pytest.mark.parametrize("name", ["dem_prior", "truth_dsm"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_geoid_between_two_surfaces_is_found(name: str, sign: int) -> None:
    assert stops(sign * (SLOPE + NOISE), name)
    assert not stops(sign * (SLOPE + NOISE) / 3, name)


@pytest.mark.parametrize("name", ["dem_prior", "truth_dsm", "truth_dtm"])
def test_forest_and_glacier_are_not_taken_for_a_geoid(name: str) -> None:
    assert not stops(-FOREST, name)
    assert not stops(GLACIER + NOISE, name)


def test_a_surface_far_above_bare_earth_may_be_forest_but_not_far_below() -> None:
    assert not stops(-TALL, "truth_dtm")
    assert stops(TALL, "truth_dtm")
    assert stops(-2 * TALL, "truth_dtm")
    assert stops(-TALL, "truth_dsm")


def test_few_common_pixels_prove_nothing() -> None:
    part = SLOPE + NOISE
    part[:, 60:] = np.nan
    other = terrain()
    other[:, :50] = np.nan
    gap = level_gap(terrain() + part, other)
    assert gap is not None
    assert gap.shared < 0.5
    assert not is_other_level(gap, "truth_dsm", "dsm")
    assert level_gap(part * np.nan, other) is None


def files(raster: Write, name: str = "dem_prior", crs: str = "EPSG:32633") -> dict[str, Path]:
    heights = terrain()
    heights[40:50, 60:90] = np.nan
    return {
        "dsm": raster("dsm.tif", heights),
        name: raster("other.tif", terrain() - SLOPE + NOISE, crs=crs),
    }


@pytest.mark.parametrize("name", ["dem_prior", "truth_dsm"])
def test_prepare_stops_with_the_options_that_cure(raster: Write, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare(files(raster, name), tmp_path / "s")
    text = str(caught.value)
    assert f"layer '{name}' is 45." in text
    assert "below 'dsm'" in text
    assert "--vertical dsm=ellipsoidal" in text
    assert f"--vertical {name}=egm2008" in text
    assert "--to-vertical" in text
    assert not (tmp_path / "s").exists()


def test_one_undeclared_layer_suffices_and_two_declared_ones_are_trusted(
    raster: Write, tmp_path: Path
) -> None:
    given = files(raster, crs="EPSG:32633+3855")
    with pytest.raises(DataError, match="'dsm' declares none"):
        prepare(given, tmp_path / "s")
    scene = prepare(given, tmp_path / "s", vertical={"dsm": "egm2008"})
    again = {f.layer: f for f in check(open_scene(tmp_path / "s"))}["dem_prior"]
    assert again.verdict is LayerVerdict.WARNING
    assert require_fit(scene, ("dsm", "dem_prior"))


def test_runs_on_files_stop_too(raster: Write) -> None:
    scene = scene_from_files(files(raster))
    with pytest.raises(DataError, match="--to-vertical"):
        require_fit(scene, ("dsm", "dem_prior"))


def test_ground_far_below_the_surface_everywhere_is_a_warning(
    raster: Write, tmp_path: Path
) -> None:
    scene = prepare(files(raster, "truth_dtm"), tmp_path / "s")
    found = {f.layer: f for f in check(scene)}["truth_dtm"]
    assert found.verdict is LayerVerdict.WARNING
    assert "vertical references" in found.message


def test_scene_yaml_keeps_the_transformation_and_check_prints_it(
    raster: Write, tmp_path: Path
) -> None:
    geoid = write_geoid(tmp_path / "my geoid.tif")
    options = {"vertical": {"dsm": "ellipsoidal", "dem_prior": "egm2008"},
               "to_vertical": "egm2008", "geoid_grid": {"egm2008": geoid}}  # fmt: skip
    scene = prepare(files(raster), tmp_path / "s", **options)
    assert scene.spec is not None
    made = scene.spec.layers["dsm"].transformation
    assert made is not None
    assert (str(made.source), str(made.target)) == ("ellipsoidal", "orthometric (EGM2008 height)")
    assert made.steps[0].grids == ["my geoid.tif"]
    assert "vgridshift" in made.steps[0].definition
    assert str(tmp_path) not in (tmp_path / "s" / "scene.yaml").read_text()
    assert -46 < made.least <= made.most < -40
    assert scene.spec.layers["dem_prior"].transformation is None
    assert describe_heights(scene)[0].startswith("dsm: heights transformed from ellipsoidal")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "s")])
    assert result.exit_code == 0, result.output
    assert "heights transformed from ellipsoidal to orthometric (EGM2008 height)" in result.output
    assert "[my geoid.tif]" in result.output
