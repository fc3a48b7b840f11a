"""Options are checked in the same way from Python and from the command line."""

from pathlib import Path

import numpy as np
import pytest

import demiurge
from conftest import make_bundle, terrain, write_raster
from demiurge import Options
from demiurge.errors import UsageError
from demiurge.scene.open import scene_from_files


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"runtime": "cuda"}, "--runtime is 'cuda'; choose auto, openvino, onnxruntime or torch"),
        ({"precision": "f16"}, "--precision is 'f16'; choose auto, f32 or bf16"),
        ({"in_flight": 0}, "--batch is 0; choose 1 or more"),
        ({"window": 100}, "--window is 100; choose a multiple of 32"),
        ({"window": 8192}, "--window is 8192"),
        ({"overlap": 0.95}, "--overlap is 0.95; choose a share from 0 to 0.9"),
        ({"target": "dem"}, "--target is 'dem'; choose dsm, dtm or both"),
        ({"tta": 3}, "--tta is 3; choose 1, 2, 4 or 8"),
        ({"prior_accuracy": -1.0}, "--prior-accuracy is -1; choose 0 or more metres"),
        ({"prior_accuracy": float("nan")}, "--prior-accuracy is nan"),
        ({"detail": 1.5}, "--detail is 1.5; choose a share from 0 to 1"),
        ({"keep_voids": "maybe"}, "--keep-voids is 'maybe'; give true or false"),
        ({"windows": 64}, "'windows' is no option; choose among target, window"),
    ],
)
def test_invalid_values(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Options(**values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"points_crs": "EPSG:32633"}, "--points-crs has no effect without --points"),
    ],
)
def test_options_without_effect(tmp_path: Path, values: dict[str, object], sentence: str) -> None:
    dsm = write_raster(tmp_path / "dsm.tif", terrain(40, 40))
    bundle = make_bundle(tmp_path / "a.bundle")
    with pytest.raises(UsageError, match=sentence):
        demiurge.refine(dsm, tmp_path / "o.tif", bundle=bundle, options=Options(**values))


def test_bands_and_pixel_size_of_a_scene_are_refused(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", terrain(40, 40), names=["red"])
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("red",), base=None, relative=True
    )
    scene = scene_from_files({"red": image})
    for name, value in (("bands", {"red": 1}), ("gsd", 2.0)):
        with pytest.raises(UsageError, match=f"--{name} has no effect on a scene"):
            demiurge.generate(scene, tmp_path / "o.tif", bundle=bundle, **{name: value})
    with pytest.raises(UsageError, match="there is no layer called"):
        demiurge.generate(image, tmp_path / "o.tif", bundle=bundle, bands={"rouge": 1})


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("gsd", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_is_positive_and_finite(tmp_path: Path, gsd: float) -> None:
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("red",), base=None, relative=True
    )
    data = np.ones((40, 40), np.uint8)
    image = write_raster(tmp_path / "i.tif", data, names=["red"], crs=None)
    with pytest.raises(UsageError, match="--gsd is"):
        demiurge.generate(image, tmp_path / "o.tif", bundle=bundle, gsd=gsd)
