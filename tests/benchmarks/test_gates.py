"""A bundle replaces the installed one only within the limits, and carries its figures."""

import sys
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import importer, make_bundle, write_raster
from demiurge.errors import DataError
from demiurge.model.bundle import card_summary, load_bundle

SIDE, GSD = 128, 0.5


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    return importer(monkeypatch, "benchmarks")


def gate(script, **changes: object):
    content = {"name": "change", "value": 0.2, "goal": 0.1, "limit": 0.3, "unit": "m"}
    return script("gates").Gate(**{**content, **changes})


def test_limits_bind_and_goals_only_inform(script) -> None:
    assert gate(script).holds
    assert not gate(script).reached
    assert not gate(script, value=0.31).holds
    assert gate(script, value=0.9, goal=0.95, limit=0.85, least=True).holds
    assert not gate(script, value=0.8, goal=0.95, limit=0.85, least=True).holds
    assert not gate(script, value=float("nan")).holds


def test_a_broken_limit_leaves_the_installed_bundle(script, tmp_path: Path) -> None:
    old = tmp_path / "refine.bundle"
    old.write_bytes(b"as before")
    new = make_bundle(tmp_path / "new.bundle")
    gates = script("gates")
    with pytest.raises(DataError, match="breaks 1 of 2 limits"):
        gates.install(new, old, [gate(script), gate(script, value=1.0)])
    assert old.read_bytes() == b"as before"
    gates.install(new, old, [gate(script)])
    card = load_bundle(old).card
    (figure,) = card.metrics["gates"]
    assert (figure["value"], figure["holds"], figure["reached"]) == (0.2, True, False)
    assert ("held-out places", "1 of 1 limits kept, 0 goals reached") in card_summary(card)
    assert load_bundle(old).graph() == new.graph()


def test_without_surfaces_the_card_says_that_nothing_was_measured(script, tmp_path: Path) -> None:
    new = make_bundle(tmp_path / "new.bundle")
    script("gates").install(new, tmp_path / "out.bundle", None)
    card = load_bundle(tmp_path / "out.bundle").card
    assert "not measured" in dict(card_summary(card))["held-out places"]


def test_errors_are_scaled(script) -> None:
    truth = np.array([[1.0, 2.0, np.nan, 4.0]], np.float32)
    dsm = np.array([[3.0, np.nan, 3.0, 2.0]], np.float32)
    scaled = script("ladder").scaled_error(dsm, truth, 0.25)
    np.testing.assert_allclose(scaled, [[1.5, np.nan, np.nan, 3.5]])
    np.testing.assert_allclose(script("ladder").scaled_error(dsm, truth, 1.0)[0, [0, 3]], [3, 2])


def test_ratios_pool_takes_and_keep_their_range(script) -> None:
    transfer = script("transfer")
    truth = np.zeros((40, 40), np.float32)
    takes = []
    for before, after in ((1.0, 0.5), (3.0, 3.0)):
        bands = {
            "dsm": truth + after, "dsm_uncertainty": truth + 1.0, "dtm": truth,
            "dtm_uncertainty": truth + 1.0,
        }  # fmt: skip
        takes.append(transfer.sums(bands, truth + before, truth, truth, GSD))
    row = transfer.ratios(takes)
    assert row["all"] == pytest.approx(3.5 / 4)
    assert (row["low_all"], row["high_all"]) == pytest.approx((0.5, 1.0))
    assert row["open"] == row["all"]
    assert "steps" not in row
    # ± 1.63 m: the first take is inside its 90 % intervals, the second outside.
    assert row["covered"] == pytest.approx(0.5)


def town() -> tuple[np.ndarray, np.ndarray]:
    """A sloping ground with blocks of 6 to 12 m."""
    down, across = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    earth = 50 + 0.02 * down + 0.5 * np.sin(across / 20)
    surface = earth.copy()
    rng = np.random.default_rng(3)
    for top in range(8, SIDE - 24, 36):
        for left in range(8, SIDE - 24, 36):
            surface[top : top + 22, left : left + 18] += rng.uniform(6, 12)
    return surface.astype(np.float32), earth.astype(np.float32)


@pytest.fixture
def data(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of real rasters with one small surface, the only kept-out place."""
    pytest.importorskip("cv2")
    pytest.importorskip("numba")
    folder = tmp_path / "data" / "surfaces" / "toy"
    folder.mkdir(parents=True)
    for name, heights in zip(("dsm", "dtm"), town(), strict=True):
        write_raster(folder / f"{name}.tif", heights, transform=from_origin(0, 0, GSD, GSD))
    monkeypatch.setattr(script("kept_out"), "SIDES", {"toy": 96})
    # The limits are those of means over many places; one small place varies more.
    monkeypatch.setattr(script("gates"), "LADDER", (1.3, 1.3))
    for limits in script("gates").STEREO.values():
        monkeypatch.setitem(limits, "insides", 1.0)
    monkeypatch.setenv("DEMIURGE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DEMIURGE_SCENES", str(tmp_path / "scenes"))
    return tmp_path / "data"


def run(script, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["gates.py", *(str(a) for a in arguments), "--takes", "2"])
    script("gates").main()


def test_a_harmful_bundle_is_refused_and_the_shipped_one_is_installed(
    script, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    installed = tmp_path / "refine.bundle"
    installed.write_bytes(b"as before")
    harmful = make_bundle(
        tmp_path / "harmful.bundle", targets=("dsm", "dtm"), pixel=(GSD, GSD), window=64
    )
    with pytest.raises(SystemExit) as exit_:
        run(script, monkeypatch, harmful.path, "--install", installed)
    assert exit_.value.code == 3
    text = capsys.readouterr()
    assert "limits, first: exact input" in text.err
    assert "BROKEN" in text.out
    assert installed.read_bytes() == b"as before"

    run(script, monkeypatch, "refine", "--install", installed)
    card = load_bundle(installed).card
    assert all(figure["holds"] for figure in card.metrics["gates"])
    assert card.contract == load_bundle("refine").contract
