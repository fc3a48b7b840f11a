"""Many places: tables, pooled figures, intervals over sites, reports."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from conftest import terrain
from demiurge.cli.main import run
from demiurge.errors import DataError, ResourceError
from demiurge.evaluation.evaluate import evaluate
from demiurge.evaluation.sites import evaluate_sites, read_table

Write = Callable[..., Path]

ERRORS = (1.0, 2.0, 4.0, 3.0)


@pytest.fixture
def listed(raster: Write, tmp_path: Path) -> Path:
    """Four sites with errors of so many metres everywhere, whose baselines err by 6 m."""
    lines = ["site, surface, reference, baseline"]
    for number, error in enumerate(ERRORS):
        truth = terrain(60 + 20 * number, 100, number)
        noise = np.random.default_rng(number).choice([-1, 1], truth.shape)
        raster(f"s{number}.tif", (truth + error * noise).astype(np.float32))
        raster(f"b{number}.tif", (truth - 6 * noise).astype(np.float32))
        raster(f"r{number}.tif", truth)
        lines.append(f"place {number}, s{number}.tif, r{number}.tif, b{number}.tif")
    path = tmp_path / "sites.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_sites_alone_and_together(listed: Path) -> None:
    found = evaluate_sites(listed)
    assert list(found.sites) == [f"place {n}" for n in range(4)]
    pixels = np.array([60, 80, 100, 120]) * 100
    for (name, site), error in zip(found.sites.items(), ERRORS, strict=True):
        assert site.surface.mae == pytest.approx(error, abs=1e-3), name
    mae = (pixels * ERRORS).sum() / pixels.sum()
    assert found.surface.mae == pytest.approx(mae, abs=1e-3)
    assert found.surface.count == pixels.sum()
    assert found.common is not None
    assert found.common[1].mae == pytest.approx(6, abs=1e-3)
    inside = found.intervals["mae"]
    assert inside.value == pytest.approx(mae, abs=1e-3)
    assert 1 <= inside.low < mae < inside.high <= 4
    ratio = found.intervals["mae_ratio"]
    assert ratio.value == pytest.approx(mae / 6, rel=1e-3)
    assert found.strata["slope 0° to 5°"].baseline is not None


def test_sites_are_told_where_both_have_heights(raster: Write, tmp_path: Path) -> None:
    """A surface is not set against its baseline on pixels that the baseline lacks."""
    from demiurge.evaluation.tables import site_rows

    truth = terrain()
    surface, baseline = truth + 1, truth + 2
    surface[:80] += 3
    baseline[:80] = np.nan
    for name, heights in (("s", surface), ("r", truth), ("b", baseline)):
        raster(f"{name}.tif", heights)
    table = tmp_path / "one.csv"
    table.write_text("surface,reference,baseline\ns.tif,r.tif,b.tif\n")
    head, rows = site_rows(evaluate_sites(table))
    shown = dict(zip(head, rows[0], strict=True))
    assert (shown["MAE, m"], shown["baseline MAE, m"], shown["ratio"]) == (
        "1.000",
        "2.000",
        "0.500",
    )
    assert shown["coverage"] == "100.0%"


def test_intervals_hold_what_other_sites_would_give() -> None:
    """Of many draws of ten sites, most intervals hold the figure of them all."""
    from demiurge.evaluation.metrics import error_statistics
    from demiurge.evaluation.result import Evaluation
    from demiurge.evaluation.sites import intervals

    rng = np.random.default_rng(0)
    held, times = 0, 100
    for _ in range(times):
        sites = []
        for scale in rng.uniform(0.5, 1.5, 12):
            own = error_statistics(rng.laplace(0, scale, 400).astype(np.float32), 400)
            sites.append(Evaluation(own, None, None, {}, (), {}))
        found = intervals(sites)["mae"]
        held += found.low <= 1.0 <= found.high
    assert 0.82 * times < held < times


def test_a_site_that_cannot_be_evaluated_is_named(listed: Path) -> None:
    with listed.open("a") as file:
        file.write("gone, nowhere.tif, r0.tif,\n")
    found = evaluate_sites(listed)
    assert len(found.sites) == 4
    assert any("site 'gone' is left out" in note for note in found.notes)


def test_a_geopackage_names_sites_too(listed: Path, tmp_path: Path) -> None:
    path = tmp_path / "sites.gpkg"
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT)")
        base.execute("INSERT INTO gpkg_contents VALUES ('places', 'features')")
        base.execute("CREATE TABLE places (fid INTEGER, geom BLOB, name, surface, reference)")
        base.execute("INSERT INTO places VALUES (1, x'00', 'one', 's1.tif', 'r1.tif')")
        base.commit()
    found = evaluate_sites(path)
    assert found.sites["one"].surface.mae == pytest.approx(2, abs=1e-3)
    assert found.common is None
    assert not found.intervals


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no site"),
        ("surface\na.tif\n", "no column 'reference'"),
        ("surface,reference\n,b.tif\n", "has no surface"),
        ("site,surface,reference\na,s,r\na,s,r\n", "names site 'a' twice"),
    ],
)
def test_tables_that_say_too_little(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
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
    said = capsys.readouterr().out
    assert "95 % interval" in said
    assert "place 3" in said
    content = json.loads(figures.read_text())
    assert set(content["sites"]) == {f"place {n}" for n in range(4)}
    assert content["intervals"]["rmse"]["low"] < content["intervals"]["rmse"]["high"]
    text = report.read_text(encoding="utf-8")
    assert "place 2" in text
    assert text.count("<img") == 1


def test_commands_that_say_too_much_or_too_little(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (["--sites", str(listed), "--baseline", "b.tif"], "--sites names all rasters"),
        ([], "two rasters are to be compared"),
        (["a.tif"], "two rasters are to be compared"),
        (["a.tif", "--reference", "b.tif", "--profile", "1,2,3,4"], "add --report"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(["evaluate", *words])
        assert caught.value.code == 2, words
        assert said in capsys.readouterr().err


def test_memory_does_not_hold_what_is_compared(raster: Write) -> None:
    """Blocks go to disk as they come: nothing is left behind when a comparison ends."""
    import gc

    found = evaluate(raster("s.tif", terrain() + 1), raster("r.tif", terrain()))
    gc.collect()  # an unclosed file would warn here, and warnings fail tests
    assert found.surface.mae == pytest.approx(1, abs=1e-4)
