"""Many sites: tables, pooled statistics, intervals over sites, reports."""

import json
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain
from demiurge.cli.main import run
from demiurge.errors import DataError, ResourceError
from demiurge.evaluation import collect as collect_module
from demiurge.evaluation import columns as columns_module
from demiurge.evaluation.evaluate import evaluate
from demiurge.evaluation.sites import evaluate_sites, read_table
from demiurge.scene import undeclared as undeclared_module
from demiurge.scene import validity as validity_module

Write = Callable[..., Path]

ERRORS = (1.0, 2.0, 4.0, 3.0)


@pytest.fixture
def listed(raster: Write, tmp_path: Path) -> Path:
    """Table of four sites with constant absolute errors; the baselines' errors are 4.5 m."""
    lines = ["site, surface, reference, baseline"]
    for number, error in enumerate(ERRORS):
        truth = terrain(60 + 20 * number, 100, number)
        noise = np.random.default_rng(number).choice([-1, 1], truth.shape)
        raster(f"s{number}.tif", (truth + error * noise).astype(np.float32))
        raster(f"b{number}.tif", (truth - 4.5 * noise).astype(np.float32))
        raster(f"r{number}.tif", truth)
        lines.append(f"place {number}, s{number}.tif, r{number}.tif, b{number}.tif")
    path = tmp_path / "sites.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_statistics_of_each_site_and_pooled(listed: Path) -> None:
    results = evaluate_sites(listed)
    assert list(results.sites) == [f"place {n}" for n in range(4)]
    pixels = np.array([60, 80, 100, 120]) * 100
    for (name, site), error in zip(results.sites.items(), ERRORS, strict=True):
        assert site.surface.mae == pytest.approx(error, abs=1e-3), name
    mae = (pixels * ERRORS).sum() / pixels.sum()
    assert results.surface.mae == pytest.approx(mae, abs=1e-3)
    assert results.surface.count == pixels.sum()
    assert results.common is not None
    assert results.common[1].mae == pytest.approx(4.5, abs=1e-3)
    inside = results.intervals["mae"]
    assert inside.value == pytest.approx(mae, abs=1e-3)
    assert 1 <= inside.low < mae < inside.high <= 4
    ratio = results.intervals["mae_ratio"]
    assert ratio.value == pytest.approx(mae / 4.5, rel=1e-3)
    assert results.strata["slope 0° to 5°"].baseline is not None


def test_site_table_uses_common_pixels(raster: Write, tmp_path: Path) -> None:
    """Voids of the baseline are excluded from the comparison with it."""
    from demiurge.evaluation.report import tables

    truth = terrain()
    surface, baseline = truth + 1, truth + 2
    surface[:80] += 3
    baseline[:80] = np.nan
    for name, heights in (("s", surface), ("r", truth), ("b", baseline)):
        raster(f"{name}.tif", heights)
    table = tmp_path / "one.csv"
    table.write_text("surface,reference,baseline\ns.tif,r.tif,b.tif\n")
    head, rows = tables.sites(evaluate_sites(table))
    shown = dict(zip(head, rows[0], strict=True))
    assert (shown["MAE, m"], shown["baseline MAE, m"], shown["ratio"]) == (
        "1.000",
        "2.000",
        "0.500",
    )
    assert shown["coverage"] == "100.0%"


def test_intervals_over_sites_have_nominal_coverage() -> None:
    """Most intervals from random sets of twelve sites contain the expected value."""
    from demiurge.evaluation.evaluate import Evaluation
    from demiurge.evaluation.metrics import error_statistics
    from demiurge.evaluation.sites import site_intervals

    rng = np.random.default_rng(0)
    held, times = 0, 100
    for _ in range(times):
        sites = []
        for scale in rng.uniform(0.5, 1.5, 12):
            own = error_statistics(rng.laplace(0, scale, 400).astype(np.float32), 400)
            sites.append(Evaluation(own, None, None, {}, (), {}))
        results = site_intervals(sites)["mae"]
        held += results.low <= 1.0 <= results.high
    assert 0.82 * times < held < times


def test_a_missing_site_is_skipped_with_a_note(listed: Path) -> None:
    with listed.open("a") as file:
        file.write("gone, nowhere.tif, r0.tif,\n")
    results = evaluate_sites(listed)
    assert len(results.sites) == 4
    assert any("site 'gone' is skipped" in note for note in results.notes)


BAD_SITES = {
    "cut": "damaged",
    "text": "",
    "folder": "",
    "empty": "share no pixel",
    "local": "",
    "bare": "",
    "moon": "",
    "far": "do not overlap",
    "feet": "3.28 times",
    "huge": "",
}


@pytest.fixture
def bad_site(raster: Write, tmp_path: Path) -> Callable[[str], Path]:
    """Make the surface of a site that cannot be evaluated."""

    def make(kind: str) -> Path:
        heights, name = terrain(), f"{kind}.tif"
        if kind == "cut":
            path = raster(name, np.random.default_rng(0).random((600, 600)).astype("f4"))
            path.write_bytes(path.read_bytes()[:20_000])
            return path
        if kind == "text":
            (tmp_path / name).write_text("no raster")
        elif kind == "folder":
            (tmp_path / name).mkdir()
        elif kind == "empty":
            raster(name, np.full_like(heights, np.nan))
        elif kind == "local":
            raster(name, heights, crs='LOCAL_CS["somewhere",UNIT["metre",1]]')
        elif kind == "bare":
            raster(name, heights, crs=None)
        elif kind == "moon":
            raster(name, heights, crs="IAU_2015:30100", transform=from_origin(15, 36, 1e-4, 1e-4))
        elif kind == "far":
            raster(name, heights, transform=from_origin(LEFT + 1e5, TOP, 2, 2))
        elif kind == "feet":
            raster(name, heights / 0.3048)
        elif kind == "huge":
            raster(name, np.full_like(heights, 3e38))
        return tmp_path / name

    return make


@pytest.mark.parametrize("kind", BAD_SITES)
def test_one_invalid_site_does_not_stop_the_others(
    listed: Path, bad_site: Callable[[str], Path], kind: str
) -> None:
    path = bad_site(kind)
    with listed.open("a") as file:
        file.write(f"bad, {path.name}, r0.tif, b0.tif\n")
    results = evaluate_sites(listed)
    assert list(results.sites) == [f"place {n}" for n in range(4)]
    (text,) = [note for note in results.notes if "site 'bad' is skipped" in note]
    assert BAD_SITES[kind] in text
    assert results.surface.count == 100 * (60 + 80 + 100 + 120)


def test_a_site_without_a_baseline_is_noted(listed: Path) -> None:
    with listed.open("a") as file:
        file.write("bare, s0.tif, r0.tif,\n")
    results = evaluate_sites(listed)
    assert results.common is None
    assert any("1 of 5 sites have none ('bare')" in note for note in results.notes)


def test_too_many_land_covers_of_all_sites_only_omit_the_classes(
    listed: Path, raster: Write, tmp_path: Path
) -> None:
    lines = ["site,surface,reference,landcover"]
    for number in range(3):
        cover = np.arange(6000 + 2000 * number).reshape(-1, 100) // 60 % 90 + 90.0 * number
        raster(f"c{number}.tif", cover.astype(np.float32))
        lines.append(f"place {number},s{number}.tif,r{number}.tif,c{number}.tif")
    path = tmp_path / "covers.csv"
    path.write_text("\n".join(lines) + "\n")
    results = evaluate_sites(path)
    assert len(results.sites) == 3
    assert not results.strata
    assert any("no classes of the pooled sites" in note for note in results.notes)


def test_sampled_sites_keep_their_weight_in_the_pool(
    listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of sampled and complete sites are equally likely to be in the pool."""
    complete = evaluate_sites(listed)
    # The largest site stores half of its pixels, the pool a sixth of all.
    monkeypatch.setattr(columns_module, "MOST", 6_000)
    results = evaluate_sites(listed)
    assert results.sites["place 3"].surface.count == pytest.approx(6_000, rel=0.05)
    assert results.surface.count == pytest.approx(6_000, rel=0.05)
    assert results.surface.mae == pytest.approx(complete.surface.mae, rel=0.03)
    for key in ("mae", "mae_ratio"):
        values = [getattr(s.intervals[key], part) for s in (results, complete)
                  for part in ("value", "low", "high")]  # fmt: skip
        np.testing.assert_allclose(values[:3], values[3:], rtol=0.03)


def peak_of(table: Path) -> int:
    """Return the peak of traced memory in bytes while sites are evaluated."""
    tracemalloc.start()
    try:
        evaluate_sites(table)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_pooling_does_not_grow_with_pixels_or_sites(
    raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit of stored pixels: nine times the pixels, then four times the sites."""
    monkeypatch.setattr(columns_module, "MOST", 1 << 15)
    monkeypatch.setattr(columns_module, "_CHUNK", 1 << 12)
    monkeypatch.setattr(collect_module, "BLOCK", 128)
    monkeypatch.setattr(undeclared_module, "_SAMPLE", 256)
    monkeypatch.setattr(validity_module, "_LOOK", 256)
    limit = np.inf
    for size, count in ((256, 2), (768, 2), (256, 8)):
        for name, offset in (("s", 1.0), ("r", 0.0), ("b", 2.0)):
            raster(f"{name}{size}.tif", terrain(size, size) + np.float32(offset))
        rows = [f"{i},s{size}.tif,r{size}.tif,b{size}.tif" for i in range(count)]
        path = tmp_path / f"{size}_{count}.csv"
        path.write_text("site,surface,reference,baseline\n" + "\n".join(rows) + "\n")
        if np.isinf(limit):
            limit = 1.3 * min(peak_of(path) for _ in range(2))
        else:
            # The least of three peaks counts; the first below the limit decides.
            assert any(peak_of(path) < limit for _ in range(3)), (size, count, limit)


def test_sites_from_a_geopackage(listed: Path, tmp_path: Path) -> None:
    path = tmp_path / "sites.gpkg"
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT)")
        base.execute("INSERT INTO gpkg_contents VALUES ('places', 'features')")
        base.execute("CREATE TABLE places (fid INTEGER, geom BLOB, name, surface, reference)")
        base.execute("INSERT INTO places VALUES (1, x'00', 'one', 's1.tif', 'r1.tif')")
        base.commit()
    results = evaluate_sites(path)
    assert results.sites["one"].surface.mae == pytest.approx(2, abs=1e-3)
    assert results.common is None
    assert not results.intervals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no site"),
        ("surface\na.tif\n", "no column 'reference'"),
        ("surface,reference\n,b.tif\n", "has no surface"),
        ("site,surface,reference\na,s,r\na,s,r\n", "names site 'a' twice"),
    ],
)
def test_incomplete_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(path)
    with pytest.raises(ResourceError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_the_command_writes_table_json_and_report(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    report, figures = tmp_path / "r.html", tmp_path / "f.json"
    with pytest.raises(SystemExit) as caught:
        run(["evaluate", "--sites", str(listed), "--report", str(report), "--json", str(figures)])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert "95 % interval" in output
    assert "place 3" in output
    content = json.loads(figures.read_text())
    assert set(content["sites"]) == {f"place {n}" for n in range(4)}
    assert content["intervals"]["rmse"]["low"] < content["intervals"]["rmse"]["high"]
    text = report.read_text(encoding="utf-8")
    assert "place 2" in text
    assert text.count("<img") == 1


def test_inconsistent_options_are_refused(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--sites", str(listed), "--baseline", "b.tif"], "--sites names all rasters"),
        ([], "evaluate compares two rasters"),
        (["a.tif"], "evaluate compares two rasters"),
        (["a.tif", "--reference", "b.tif", "--profile", "1,2,3,4"], "add --report"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(["evaluate", *words])
        assert caught.value.code == 2, words
        assert message in capsys.readouterr().err


def test_temporary_files_are_closed(raster: Write) -> None:
    """A comparison stores its pixels in temporary files and closes them at the end."""
    import gc

    results = evaluate(raster("s.tif", terrain() + 1), raster("r.tif", terrain()))
    gc.collect()  # an unclosed file would warn, and warnings fail tests
    assert results.surface.mae == pytest.approx(1, abs=1e-4)
