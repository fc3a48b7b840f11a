"""Heights fitted to ground control points."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import LEFT, PIXEL, TOP, blur_graph, make_bundle, terrain, write_raster
from demiurge import Options
from demiurge.cli.apply import print_surface
from demiurge.errors import DataError, UsageError
from demiurge.predict.heights.gcp import fit_gcps, sample_bilinear


def points(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(-1, 1, (2, count))
    return rng.normal(0, 30, count), u, v, rng.normal(0, 0.2, count)


@pytest.mark.parametrize("count", [4, 20, 200])
@pytest.mark.parametrize("scaled", [True, False])
def test_a_known_trend_is_found_among_gross_errors(count: int, scaled: bool) -> None:
    heights, u, v, noise = points(count)
    slope = 3 * u if count >= 20 else 0
    truth = (2.5 if scaled else 1) * heights + 400 + slope + noise
    wrong = count // 10
    truth[:wrong] += 80
    fit = fit_gcps(heights, u, v, truth, scaled=scaled)
    assert fit.scale == pytest.approx(2.5 if scaled else 1, abs=0.05)
    assert fit.trend[0] == pytest.approx(400, abs=0.6)
    assert fit.wrong >= wrong
    assert fit.rmse < 0.5
    assert fit.loo >= fit.rmse
    if count >= 20:
        assert fit.trend[1] == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize("count", [4, 9, 12, 20, 41])
def test_scattered_points_are_not_gross_errors(count: int) -> None:
    """An inaccurate surface has large residuals at correct points.

    The robust fit is slightly worse than least squares, which is optimal here.
    """
    wrong, worse = [], []
    for seed in range(8):
        heights, u, v, noise = points(count, seed)
        truth = 2.5 * heights + 400 + 100 * noise
        fit = fit_gcps(heights, u, v, truth, scaled=True)
        terms = [np.ones(count), u, v, u * u, u * v, v * v][: len(fit.trend)]
        plain = np.linalg.lstsq(np.stack([*terms, heights], 1), truth, rcond=None)[0]
        missed = (
            truth - fit.scale * heights - sum(c * t for c, t in zip(fit.trend, terms, strict=True))
        )
        best = truth - np.stack([*terms, heights], 1) @ plain
        wrong.append(fit.wrong)
        worse.append(np.sqrt(np.square(missed).mean() / np.square(best).mean()))
    assert np.mean(wrong) < 0.02 * count
    assert np.mean(worse) < 1.05


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_gross_errors_are_reported(share: float) -> None:
    heights, u, v, noise = points(50)
    truth = heights + 400 + noise
    wrong = int(share * 50)
    truth[:wrong] += np.random.default_rng(1).choice([-1, 1], wrong) * 60
    fit = fit_gcps(heights, u, v, truth, scaled=False)
    assert fit.wrong == wrong
    assert f"{wrong} of 50 ground points lie more than" in fit.notes[0]
    truth[2:wrong] -= truth[2:wrong] - heights[2:wrong] - 400 - noise[2:wrong]
    fit = fit_gcps(heights, u, v, truth, scaled=False)
    assert fit.wrong == 2
    assert fit.notes == (), "fewer than a tenth"


def test_the_reported_error_is_that_of_all_points_but_gross_errors() -> None:
    """Heavy tails: residuals of three standard deviations are not gross errors, and count."""
    rng = np.random.default_rng(3)
    heights, u, v, _ = points(200)
    noise = rng.standard_t(4, 200)
    fit = fit_gcps(heights, u, v, heights + noise, scaled=False)
    assert fit.wrong < 4
    assert fit.rmse == pytest.approx(noise.std(), rel=0.15)
    assert fit.loo >= fit.rmse


def test_leave_one_out_equals_refits_without_each_point() -> None:
    heights, u, v, noise = points(8)
    truth = heights + 100 + noise
    fit = fit_gcps(heights, u, v, truth, scaled=False)
    assert fit.wrong == 0
    missed = [truth[i] - heights[i] - np.average(np.delete(truth - heights, i)) for i in range(8)]
    assert fit.loo == pytest.approx(np.sqrt(np.mean(np.square(missed))), rel=0.05)


def test_points_along_a_line_do_not_determine_a_plane() -> None:
    heights, u, _, noise = points(12)
    fit = fit_gcps(heights, u, 0.5 * u, heights + 100 + noise, scaled=False)
    assert len(fit.trend) == 1
    assert "along a line" in fit.notes[0]


def test_two_points_give_scale_and_offset() -> None:
    heights, where = np.array([1.0, 3.0]), np.array([-0.5, 0.5])
    fit = fit_gcps(heights, where, where, np.array([102.0, 106.0]), scaled=True)
    assert fit.scale == pytest.approx(2)
    assert fit.trend == pytest.approx((100,))
    assert np.isnan(fit.loo)


def test_points_that_do_not_determine_the_fit() -> None:
    one, two = np.zeros(1), np.array([0.1, 0.2])
    with pytest.raises(DataError, match="1 ground points lie on the surface, 2 are needed"):
        fit_gcps(one, one, one, one, scaled=True)
    with pytest.raises(DataError, match="same height at all"):
        fit_gcps(np.full(2, 5.0), two, two, two, scaled=True)
    with pytest.raises(DataError, match="low where the surface is high"):
        fit_gcps(two, two, two, -two, scaled=True)


def test_sampling_is_bilinear_up_to_the_edge() -> None:
    rows, columns = np.mgrid[:5, :6].astype(np.float32)
    plane = 10 * rows + columns
    plane[4, 5] = np.nan
    at = sample_bilinear(plane, np.array([1.25, -0.4, 3.5, 9.0]), np.array([2.5, 0.0, 4.5, 1.0]))
    np.testing.assert_allclose(at, [15, 0, np.nan, np.nan])


@pytest.fixture
def relative(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Return an image, and a bundle whose relative heights are the image blurred and inverted."""
    image = terrain()
    path = write_raster(tmp_path / "image.tif", image, names=["red"])
    bundle = make_bundle(
        tmp_path / "r.bundle", task="generate", layers=("red",), base=None, targets=("dtm",),
        relative=True, graph=blur_graph(2, 2), scale=1.0,
    )  # fmt: skip
    return path, bundle


def _write_points(path: Path, heights: np.ndarray, count: int, crs: str = "EPSG:32633") -> Path:
    from pyproj import Transformer

    rng = np.random.default_rng(1)
    rows = rng.integers(10, heights.shape[0] - 10, count)
    columns = rng.integers(10, heights.shape[1] - 10, count)
    x, y = LEFT + PIXEL * (columns + 0.5), TOP - PIXEL * (rows + 0.5)
    move = Transformer.from_crs("EPSG:32633", crs, always_xy=True)
    x, y = move.transform(x, y)
    names = "lon,lat,height" if crs == "EPSG:4326" else "x,y,z"
    lines = [f"{a:.9f},{b:.9f},{h}" for a, b, h in zip(x, y, heights[rows, columns], strict=True)]
    path.write_text("\n".join([names, *lines]))
    return path


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_relative_heights_become_metres(relative, tmp_path: Path, crs: str) -> None:  # type: ignore[no-untyped-def]
    image, bundle = relative
    out = demiurge.generate(image, tmp_path / "r.tif", bundle=bundle)
    with rasterio.open(out.path) as file:
        before = file.read(1)
        assert file.descriptions[0] == "dtm_relative"
        assert file.tags()["units"] == "relative"
    truth = 4 * before + 300
    gcp = _write_points(tmp_path / "gcp.csv", truth, 30, crs)
    out = demiurge.generate(image, tmp_path / "a.tif", bundle=bundle, options=Options(points=gcp))
    with rasterio.open(out.path) as file:
        after, spread = file.read()
        assert file.descriptions == ("dtm", "dtm_uncertainty")
        assert file.units[0] == "m"
        assert file.tags()["units"] == "metre"
        assert file.tags()["anchored_to"] == "30 of 30 ground points"
    np.testing.assert_allclose(after, truth, atol=0.05)
    with rasterio.open(tmp_path / "r.tif") as file:
        np.testing.assert_allclose(spread, 4 * file.read(2), rtol=1e-3, atol=1e-3)
    assert out.fit is not None
    assert out.fit.scale == pytest.approx(4, rel=1e-3)
    assert out.uncertainty == pytest.approx(float(spread.mean()), rel=1e-4), "reported as written"


@pytest.mark.parametrize("fitted", [False, True])
def test_reports_print_metres_for_metres_alone(
    relative, tmp_path: Path, capsys: pytest.CaptureFixture[str], fitted: bool
) -> None:  # type: ignore[no-untyped-def]
    image, bundle = relative
    before = demiurge.generate(image, tmp_path / "r.tif", bundle=bundle)
    with rasterio.open(before.path) as file:
        gcp = _write_points(tmp_path / "gcp.csv", 4 * file.read(1) + 300, 30)
    options = Options(points=gcp) if fitted else Options()
    surface = demiurge.generate(image, tmp_path / "a.tif", bundle=bundle, options=options)
    print_surface(surface, quiet=False)
    line = next(x for x in capsys.readouterr().out.splitlines() if "mean uncertainty" in x)
    assert surface.unit == ("m" if fitted else "relative")
    assert line.endswith(" m" if fitted else "(relative, not metres)")


def test_points_in_feet_give_metres(relative, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    image, bundle = relative
    before = demiurge.generate(image, tmp_path / "r.tif", bundle=bundle)
    with rasterio.open(before.path) as file:
        truth = 4 * file.read(1) + 300
    gcp = _write_points(tmp_path / "gcp.csv", truth / 0.3048, 30)
    options = Options(points=gcp, points_crs="EPSG:32633+8228")
    out = demiurge.generate(image, tmp_path / "a.tif", bundle=bundle, options=options)
    with rasterio.open(out.path) as file:
        np.testing.assert_allclose(file.read(1), truth, atol=0.05)
    assert any("gcp.csv are converted from feet to metres" in note for note in out.notes)


def test_wrong_points_lose_no_work(relative, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    image, bundle = relative
    gcp = tmp_path / "gcp.csv"
    gcp.write_text("x,y,z\n0,0,1\n")
    options = Options(points=gcp, quiet=False)
    with pytest.raises(DataError, match="none of its 1 points lies on the image"):
        demiurge.generate(image, tmp_path / "a.tif", bundle=bundle, options=options)
    gcp.write_text(f"x,y,z\n{LEFT + 50},{TOP - 50},100\n")
    with pytest.raises(DataError, match="1 ground points lie on the surface, 2 are needed"):
        demiurge.generate(image, tmp_path / "a.tif", bundle=bundle, options=options)
    assert not (tmp_path / ".a.tif.partial").exists(), "found out before anything was predicted"
    _write_points(gcp, 500 + terrain(), 30)  # the bundle's heights are the image upside down
    with pytest.raises(DataError, match="low where the surface is high"):
        demiurge.generate(image, tmp_path / "a.tif", bundle=bundle, options=options)
    assert (tmp_path / ".a.tif.partial" / "rows.f32").exists()
    out = demiurge.generate(image, tmp_path / "a.tif", bundle=bundle)
    assert out.path.exists()
    assert not (tmp_path / ".a.tif.partial").exists()
    with pytest.raises(UsageError, match="blocks are not fitted"):
        demiurge.generate(image, tmp_path / "a.vrt", bundle=bundle,
                          options=Options(points=gcp, cluster="local:1"))  # fmt: skip
