"""Local CRSs, CRSs of other bodies, and CRSs with large scale errors."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
from odc.geo.crs import CRS
from rasterio.transform import from_origin

from conftest import make_bundle, terrain
from demiurge.cli.main import run
from demiurge.errors import DataError, UsageError
from demiurge.scene.crs import (
    ground_scale,
    on_earth,
    parse_crs,
    require_crs,
    transform,
    unwrapped,
)
from demiurge.scene.open import scene_from_files
from demiurge.scene.prepare import prepare

Write = Callable[..., Path]
LOCAL = 'LOCAL_CS["ETRS89 / UTM 33N",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
MOON = "IAU_2015:30100"
MOON_METRES = "+proj=eqc +R=1737400 +units=m"


def mercator(lat: float, size: float = 30) -> dict[str, object]:
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(15.0, lat)
    return {"crs": "EPSG:3857", "transform": from_origin(x, y, size, size)}


def test_scale_on_the_ground() -> None:
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(15.0, 40.0)
    # The formula of the sphere is off by up to 0.3 % on the ellipsoid.
    assert ground_scale(x, y, CRS("EPSG:3857")) == pytest.approx(
        1 / math.cos(math.radians(40)), 5e-3
    )
    assert ground_scale(500_000, 4_000_000, CRS("EPSG:32633")) == pytest.approx(0.9996, abs=1e-5)
    assert ground_scale(0, 2_000_000, CRS("EPSG:3031")) == pytest.approx(1, abs=0.02)
    assert ground_scale(1000, 0, CRS(MOON_METRES)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("lat", [40.0, -60.0])
def test_web_mercator_is_reprojected_to_utm_with_a_note(raster: Write, lat: float) -> None:
    place = mercator(lat, 30 / math.cos(math.radians(lat)))
    scene = scene_from_files({"dsm": raster("a.tif", terrain(), **place)})
    assert scene.grid.crs.epsg == (32633 if lat > 0 else 32733)
    # Pixels are 30 m on the ground, but 39 or 60 m in units of the CRS.
    assert scene.pixel_size == pytest.approx(30, rel=0.01)
    true = math.cos(math.radians(lat))
    assert f"EPSG:3857, whose metre is {true:.2f}"[:-1] in scene.notes[0]
    assert "reprojected to EPSG:32" in scene.notes[0]
    area = scene.read(layers=["dsm"])[0]
    assert np.isfinite(area).sum() * scene.pixel_size**2 == pytest.approx(160 * 192 * 900, rel=0.02)


def test_a_distant_utm_zone_is_replaced(raster: Write) -> None:
    x, y = pyproj.Transformer.from_crs(4326, 32633, always_xy=True).transform(28.0, 45.0)
    place = from_origin(x, y, 2, 2)
    scene = scene_from_files({"dsm": raster("a.tif", terrain(), transform=place)})
    assert scene.grid.crs.epsg == 32635


def test_a_named_crs_may_have_a_small_scale_error(raster: Write, tmp_path: Path) -> None:
    x, y = pyproj.Transformer.from_crs(4326, 3413, always_xy=True).transform(-45.0, 76.0)
    place = {"crs": "EPSG:3413", "transform": from_origin(x, y, 2, 2)}
    path = raster("a.tif", terrain(), **place)
    assert scene_from_files({"dsm": path}).grid.crs.epsg == 32623
    scene = prepare({"dsm": path}, tmp_path / "s", crs="EPSG:3413")
    assert any("a metre of EPSG:3413 is 1.02 m on the ground there" in n for n in scene.notes)
    np.testing.assert_array_equal(scene.read(layers=["dsm"])[0], terrain())
    with pytest.raises(UsageError, match=r"a metre of EPSG:3857 is 0\.\d+ m on the ground"):
        prepare({"dsm": path}, tmp_path / "t", crs="EPSG:3857")


def test_evaluation_measures_web_mercator_in_metres(
    raster: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = mercator(40.0, 39)
    surface = raster("a.tif", terrain() + 1, **place)
    reference = raster("b.tif", terrain(), **place)
    with pytest.raises(SystemExit) as caught:
        run(["evaluate", str(surface), "--reference", str(reference)])
    assert caught.value.code == 0
    assert "reprojected to EPSG:32633" in capfd.readouterr().err


def test_local_crss_are_refused(raster: Write) -> None:
    with pytest.raises(DataError, match="'ETRS89 / UTM 33N' is local"):
        require_crs("a.tif", pyproj.CRS(LOCAL))
    with pytest.raises(UsageError, match="without a position"):
        parse_crs(LOCAL)
    with pytest.raises(UsageError, match="is not a CRS"):
        parse_crs("EPSG:nothing")
    krovak = raster("a.tif", terrain(), crs="EPSG:8353",
                    transform=from_origin(-500_000, -1_200_000, 2, 2))  # fmt: skip
    scene = scene_from_files({"dsm": krovak})
    assert scene.grid.crs.epsg == 8353


def test_celestial_bodies_are_not_mixed() -> None:
    earth, moon = CRS("EPSG:4326"), CRS(MOON)
    assert on_earth(earth)
    assert not on_earth(moon)
    with pytest.raises(DataError, match="different celestial bodies"):
        transform([0], [0], earth, moon)


def test_a_lunar_grid_in_metres_is_kept(raster: Write) -> None:
    place = from_origin(1000, 2000, 2, 2)
    path = raster("moon.tif", terrain(), crs=MOON_METRES, transform=place)
    scene = scene_from_files({"dsm": path})
    assert scene.grid.affine == place
    np.testing.assert_array_equal(scene.read(layers=["dsm"])[0], terrain())


def test_longitudes_are_unwrapped() -> None:
    np.testing.assert_allclose(unwrapped([-179, 179, 540, 0], 180), [181, 179, 180, 0])
    assert np.isnan(unwrapped([np.nan], 0)).all()


ODD = [
    ("local", {"crs": LOCAL}, "is local"),
    ("moon in degrees", {"crs": MOON, "transform": from_origin(15, 40, 1e-4, 1e-4)},
     "not on the Earth|bodies"),
    ("moon under earth", {"crs": MOON_METRES, "transform": from_origin(0, 0, 2, 2)}, "bodies"),
    ("nowhere", {"crs": "EPSG:4326", "transform": from_origin(15, 500, 1e-2, 1e-2)}, "outside the"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "says"), ODD, ids=[o[0] for o in ODD])
def test_every_command_reports_one_sentence(
    raster: Write, tmp_path: Path, name: str, options: dict[str, object], says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    odd, good = raster("odd.tif", terrain(), **options), raster("good.tif", terrain())
    image = raster("image.tif", np.stack([terrain()] * 3), names=["red", "green", "blue"])
    make_bundle(tmp_path / "r.bundle")
    make_bundle(tmp_path / "s.bundle", layers=("dsm", "ortho_left"))
    make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",),
    )  # fmt: skip
    out = f"-o {tmp_path}/out.tif"
    commands = [
        f"refine {good} --left {odd} {out} --bundle {tmp_path}/s.bundle",
        f"generate {image} --prior {odd} {out} --bundle {tmp_path}/g.bundle",
        f"prepare dsm={good} truth_dsm={odd} -o {tmp_path}/scene",
        f"prepare dsm={odd} truth_dsm={good} -o {tmp_path}/scene",
        f"prepare dsm={good} --extent {odd} -o {tmp_path}/scene",
        f"evaluate {good} --reference {odd}",
        f"evaluate {odd} --reference {good}",
    ]
    if name != "moon under earth":
        commands.append(f"refine {odd} {out} --bundle {tmp_path}/r.bundle")
    for command in commands:
        with pytest.raises(SystemExit) as caught:
            run(command.split())
        error = capfd.readouterr().err
        assert caught.value.code in (2, 3), f"{command}: {error}"
        assert error.count("\n") == 1, error
        assert "bug" not in error
        assert re.search(f"{says}|overlap|outside of what", error), error


def test_all_transforms_use_one_module() -> None:
    import demiurge

    source = Path(demiurge.__file__).parent
    result = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"Transformer\.from_crs|transform_bounds\(", path.read_text("utf-8"))
    }
    assert result == {"scene/crs.py", "predict/stac.py"}  # GDAL cuts outlines at 180° itself


def test_an_item_of_another_body_has_no_geometry(raster: Write, tmp_path: Path) -> None:
    path = raster("moon.tif", terrain(), crs=MOON_METRES, transform=from_origin(1000, 2000, 2, 2))
    make_bundle(tmp_path / "r.bundle")
    words = f"refine {path} -o {tmp_path}/out.tif --bundle {tmp_path}/r.bundle --stac -q"
    with pytest.raises(SystemExit) as caught:
        run(words.split())
    assert caught.value.code == 0
    assert json.loads((tmp_path / "out.stac.json").read_text())["geometry"] is None
