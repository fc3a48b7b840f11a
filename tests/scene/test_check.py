"""Verdicts of the check of a scene."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import terrain
from demiurge.errors import DataError, UsageError
from demiurge.scene.check import LayerVerdict, check, require_fit
from demiurge.scene.open import scene_from_files

Write = Callable[..., Path]


def one(raster: Write, name: str, data: np.ndarray) -> tuple[LayerVerdict, str]:
    files = {"dsm": raster("dsm.tif", terrain()), name: raster("x.tif", data.astype("f4"))}
    result = {f.layer: f for f in check(scene_from_files(files))}[name]
    return result.verdict, result.message


@pytest.mark.parametrize(
    ("name", "data", "verdict", "match"),
    [
        ("ndvi", terrain(), LayerVerdict.FAULT, "exceeds -1"),
        ("triangulation_error", -terrain(), LayerVerdict.FAULT, "negative"),
        ("valid", terrain(), LayerVerdict.FAULT, "other than 0 and 1"),
        ("valid", terrain() * 0, LayerVerdict.FAULT, "0 everywhere"),
        ("ortho_left", terrain() * 0 + 5, LayerVerdict.WARNING, "is 5 everywhere"),
        ("ortho_left", terrain() * np.nan, LayerVerdict.FAULT, "no data"),
        ("truth_dsm", terrain() + 12, LayerVerdict.WARNING, r"by \+12.0 m"),
        ("truth_dsm", terrain() + 48, LayerVerdict.FAULT, r"48.0 m above .*--to-vertical"),
        ("truth_dsm", terrain() + 0.1, LayerVerdict.OK, ""),
        ("ortho_left", terrain(), LayerVerdict.OK, ""),
    ],
)
def test_verdicts(
    raster: Write, name: str, data: np.ndarray, verdict: LayerVerdict, match: str
) -> None:
    result, message = one(raster, name, data)
    assert result is verdict
    assert re.search(match, message)


def test_only_faults_of_needed_layers_raise(raster: Write) -> None:
    files = {"dsm": raster("a.tif", terrain()), "ndvi": raster("b.tif", terrain())}
    scene = scene_from_files(files)
    assert require_fit(scene, ("dsm",)) == []
    with pytest.raises(DataError, match="layer 'ndvi'"):
        require_fit(scene, ("dsm", "ndvi"))
    with pytest.raises(UsageError, match="has no layer 'nir'"):
        require_fit(scene, ("nir",))


def test_check_reports_gross_outliers(raster: Write) -> None:
    heights = terrain()
    sound = check(scene_from_files({"dsm": raster("sound.tif", heights)}))[0]
    assert sound.verdict is LayerVerdict.OK
    heights[80:84, 50:54] += 1500
    result = check(scene_from_files({"dsm": raster("dsm.tif", heights)}))[0]
    assert result.verdict is LayerVerdict.WARNING
    assert "16 of" in result.message
    assert "gross outliers" in result.message
