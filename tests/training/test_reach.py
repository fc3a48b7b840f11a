"""How far a network looks decides how much windows overlap."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from conftest import blur_graph, make_bundle
from demiurge.model.bundle import WindowPlan
from demiurge.training.judge import _answers, _reach


def test_the_reach_of_a_known_network_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = [{"planes": rng.standard_normal((2, 64, 64)).astype("f4")} for _ in range(6)]
    for east, expected in ((0, 4), (3, 1)):
        bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2, east=east))
        exact = _answers(bundle, items, "f32")
        assert _reach(bundle, items, exact) == expected


@pytest.mark.parametrize(
    ("reach", "overlap"), [(0, 0.125), (16, 0.125), (17, 0.1875), (30, 0.25), (200, 0.5)]
)
def test_windows_overlap_by_twice_the_reach(reach: int, overlap: float) -> None:
    assert WindowPlan(size=256).over(reach).overlap == overlap
