"""The examples of the page on xarray run in order, as a user would paste them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "howto" / "xarray.md"


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rioxarray")
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 6
    for example in examples:
        exec(example, names)
    assert (tmp_path / "better.tif").exists()
    assert names["evaluation"].ratios()["mae"] < 0.95
    assert set(names["surface"]) == {"dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty"}
    assert np.isfinite(names["data"]["dsm"].mean())
