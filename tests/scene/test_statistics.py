"""Statistics of layers."""

import numpy as np
import pytest

from conftest import terrain
from demiurge.scene.statistics import Statistics


def test_statistics_by_blocks_equal_those_of_the_full_array() -> None:
    data = terrain()
    data[3:9] = np.nan
    statistics = Statistics.of_shape(data.shape)
    for part in np.array_split(data, 7):
        statistics.add(part)
    values = statistics.result()
    known = data[np.isfinite(data)].astype(float)
    assert values["measured"] == known.size
    assert values["mean"] == pytest.approx(known.mean(), rel=1e-9)
    assert values["std"] == pytest.approx(known.std(), rel=1e-9)
    assert (values["min"], values["max"]) == (known.min(), known.max())
    assert values["p50"] == pytest.approx(np.median(known), abs=0.5)


def test_statistics_without_data() -> None:
    statistics = Statistics()
    statistics.add(np.full((4, 4), np.nan, np.float32))
    assert statistics.result()["mean"] is None
    assert statistics.result()["voids"] == 1
