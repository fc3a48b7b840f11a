"""Accuracy of the priors of real places; exports used by the tests."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.scene.grid import full_window
from demiurge.scene.prepare import Origin, prepare
from demiurge.scene.scene import SIMULATION_NAME
from demiurge.training.package import accuracy_of_priors
from demiurge.training.split import Region

from .conftest import tiny_recipe

WIDE = 4


def test_credits_of_scenes_are_kept_in_the_bundle(tmp_path: Path) -> None:
    from demiurge.training.fit import _origin
    from demiurge.training.plan import make_plan

    scenes = []
    for number, credit in enumerate(("A", "B", "A", "C")):
        files = {}
        for name in ("dsm", "truth_dsm", "ortho_left"):
            place = from_origin(LEFT + 1000 * number, TOP, 2, 2)
            file = tmp_path / f"{name}{number}.tif"
            files[name] = write_raster(file, terrain(96, 96), transform=place)
        origin = Origin(credits=[credit])
        scenes.append(prepare(files, tmp_path / f"s{number}", origin=origin))
    prepared = make_plan(scenes, tiny_recipe())
    assert _origin(prepared, None, ["mine", "B"])["credits"] == ["mine", "B", "A", "C"]


def region(folder: Path, error: float) -> Region:
    folder.mkdir()
    heights = terrain(128, 128)
    means = heights.reshape(32, WIDE, 32, WIDE).mean(axis=(1, 3))
    noise = error * np.random.default_rng(0).standard_normal(means.shape).astype(np.float32)
    place = from_origin(LEFT, TOP, WIDE * PIXEL, WIDE * PIXEL)
    files = {
        "red": write_raster(folder / "red.tif", heights),
        "dem_prior": write_raster(folder / "prior.tif", means + noise, transform=place),
        "truth_dtm": write_raster(folder / "truth.tif", heights),
    }
    scene = prepare(files, folder / "scene")
    return Region(scene, full_window(scene.grid))


def test_the_noise_of_a_prior_is_measured(tmp_path: Path) -> None:
    accuracy = accuracy_of_priors([region(tmp_path / "a", 3.0)], "dtm")
    assert accuracy == pytest.approx(3.0, rel=0.1)


def test_exact_means_have_no_error(tmp_path: Path) -> None:
    accuracy = accuracy_of_priors([region(tmp_path / "a", 0.0)], "dtm")
    assert accuracy == pytest.approx(0.0, abs=0.2)


def test_simulated_priors_are_ignored(tmp_path: Path) -> None:
    place = region(tmp_path / "a", 3.0)
    assert place.scene.folder is not None
    (place.scene.folder / SIMULATION_NAME).write_text("seed: 1\n")
    assert accuracy_of_priors([place], "dtm") is None


def test_places_without_truth_are_ignored(tmp_path: Path) -> None:
    assert accuracy_of_priors([region(tmp_path / "a", 3.0)], "dsm") is None


def test_cached_exports_equal_real_ones() -> None:
    """The other tests of this folder replace the weights in an exported graph."""
    onnx = pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")

    from demiurge.model import export
    from demiurge.model.network import build_network

    settings, sizes = tiny_recipe().network, ((3, 2), (5, 4), (5, 4))
    networks = [build_network(settings, *size) for size in sizes]
    for network, (channels, _) in zip(networks, sizes, strict=True):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        with torch.no_grad():
            network(torch.randn(2, channels, 64, 64))  # statistics of the batch norms
    graphs = [
        export.to_onnx(network, channels)
        for network, (channels, _) in zip(networks, sizes, strict=True)
    ]
    assert isinstance(export.to_onnx, partial), "the export is replaced"
    real = export.to_onnx.args[0](networks[2], 5)
    weights = export.to_safetensors(networks[2], real)
    assert all(key.endswith("num_batches_tracked") for key in safetensors.load(weights))
    assert str(Path(torch.__file__).parent).encode() not in real, "no local paths"
    model = onnx.load_from_string(real)
    del model.graph.value_info[:]
    assert graphs[2] == model.SerializeToString(deterministic=True)
    assert graphs[1] != graphs[2]
