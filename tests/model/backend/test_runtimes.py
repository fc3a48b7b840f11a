"""Inference runtimes: equal outputs, choice and errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import blur_graph, make_bundle, terrain, write_raster
from demiurge.errors import BundleError, ResourceError
from demiurge.model.backend import choose as chosen
from demiurge.model.backend import openvino
from demiurge.model.backend.choose import Choice, choose_runtime, make_runtime
from demiurge.model.bundle import load_bundle
from demiurge.predict.api import refine
from demiurge.predict.augmentation import ORIENTATIONS
from demiurge.predict.options import Options

WINDOWS = [np.random.default_rng(i).standard_normal((2, 64, 64)).astype("f4") for i in range(5)]


def outputs(bundle, choice: Choice, **options: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.stack(list(make_runtime(bundle, 64, choice, **options).run(WINDOWS, 3)))


def test_onnx_runtime_and_openvino_agree(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    ours = outputs(bundle, Choice("openvino", "CPU", "f32"))
    theirs = outputs(bundle, Choice("onnxruntime", "CPU", "f32"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


SIGNAL = """
import os, signal, sys
from demiurge.model.bundle import load_bundle
from demiurge.model.backend.choose import Choice, make_runtime
from demiurge.model.backend.openvino import has_bf16
bundle = load_bundle(sys.argv[1])
first = make_runtime(bundle, 64, Choice("openvino", "CPU", "f32"))
second = make_runtime(bundle, 64, Choice("openvino", "CPU", "f32"))
has_bf16()
del first
del second
signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_after_runtimes_were_deleted(tmp_path: Path) -> None:
    """Overlapping OpenVINO cores leave a dangling signal stack."""
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL, str(bundle.path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_the_number_of_threads_does_not_change_a_pixel(tmp_path: Path) -> None:
    bundle = load_bundle("refine")
    channels = bundle.contract.channels
    windows = [np.random.default_rng(i).standard_normal((channels, 128, 128)).astype("f4")
                 for i in range(3)]  # fmt: skip
    actual = [
        np.stack(list(make_runtime(bundle, 128, Choice("openvino", "CPU", "f32"), threads=n)
                      .run(windows, 2)))
        for n in (0, 1, 2)
    ]  # fmt: skip
    np.testing.assert_array_equal(actual[0], actual[1])
    np.testing.assert_array_equal(actual[0], actual[2])


def test_large_windows_on_few_cores_get_one_stream_and_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of windows of 768 px needs 200 MB."""
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    choice, results = Choice("openvino", "CPU", "f32"), []
    for large, cores in ((64, 2), (64, 16), (65, 2)):
        monkeypatch.setattr(openvino, "_LARGE", large)
        monkeypatch.setattr(openvino, "usable_cores", lambda cores=cores: cores)
        runtime = make_runtime(bundle, 64, choice, threads=0)
        streams = int(runtime._compiled.get_property("NUM_STREAMS"))
        assert streams == 1 or (large, cores) != (64, 2)
        results += [np.stack(list(runtime.run(WINDOWS, few))) for few in (1, 2, 9)]
    assert all(np.array_equal(one, results[0]) for one in results)


def test_pytorch_and_openvino_agree_on_a_trained_network() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    bundle = load_bundle("refine")
    channels = bundle.contract.channels
    windows = [np.random.default_rng(i).standard_normal((channels, 64, 64)).astype("f4")
                 for i in range(3)]  # fmt: skip
    both = [
        np.stack(list(make_runtime(bundle, 64, Choice(name, "CPU", "f32")).run(windows, 2)))
        for name in ("openvino", "torch")
    ]
    scale = np.abs(both[0]).max()
    np.testing.assert_allclose(both[0], both[1], atol=1e-3 * scale)


def test_pytorch_refuses_weights_of_another_network(tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    bundle = make_bundle(tmp_path / "a.bundle")
    with pytest.raises(BundleError, match="do not fit its network"):
        make_runtime(bundle, 64, Choice("torch", "CPU", "f32"))


def test_choice_of_runtime_and_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "a.bundle")
    monkeypatch.setattr(chosen, "_has_cuda", lambda: False)
    assert choose_runtime(bundle, "auto", "auto") == Choice("openvino", "CPU", "f32")
    assert choose_runtime(bundle, "auto", "bf16") == Choice("openvino", "CPU", "bf16")
    monkeypatch.setattr(chosen, "_has_cuda", lambda: True)
    assert choose_runtime(bundle, "auto", "auto") == Choice("torch", "CUDA", "f32")
    assert choose_runtime(bundle, "openvino", "auto") == Choice("openvino", "CPU", "f32")
    monkeypatch.setattr(chosen, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match=r"demiurge\[onnxruntime\]"):
        choose_runtime(bundle, "onnxruntime", "auto")
    with pytest.raises(ResourceError, match=r"demiurge\[train\]"):
        choose_runtime(bundle, "torch", "auto")


def test_torch_is_imported_only_if_there_may_be_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: calls.append(1) or True)
    monkeypatch.setattr(chosen, "_GPUS", (str(tmp_path / "none"),))
    assert not chosen._has_cuda()
    assert not calls
    monkeypatch.setattr(chosen, "_GPUS", (str(tmp_path / "none"), str(tmp_path)))
    assert chosen._has_cuda()
    monkeypatch.setattr(chosen, "find_spec", lambda _: None)
    assert not chosen._has_cuda()


def test_the_surface_names_its_runtime(tmp_path: Path) -> None:
    import rasterio

    pytest.importorskip("onnxruntime")
    dsm = write_raster(tmp_path / "dsm.tif", terrain())
    bundle = make_bundle(tmp_path / "a.bundle")
    for name, text in (("onnxruntime", "ONNX Runtime CPU f32"), ("openvino", "OpenVINO CPU f32")):
        options = Options(runtime=name, overwrite=True)
        refine(dsm, tmp_path / "out.tif", bundle=bundle, options=options)
        with rasterio.open(tmp_path / "out.tif") as file:
            assert file.tags()["runtime"] == text
            np.testing.assert_allclose(file.read(1), terrain() + 5, atol=1e-3)


def test_batches_equal_single_windows() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    bundle = load_bundle("refine")
    windows = [np.random.default_rng(i).standard_normal((bundle.contract.channels, 64, 64))
                 .astype("f4") for i in range(7)]  # fmt: skip
    actual = {}
    for batch in (1, 3):
        runtime = make_runtime(bundle, 64, Choice("torch", "CPU", "f32"))
        runtime.batch = batch
        # Twice: the first run must not affect the second.
        list(runtime.run(windows[::-1], 3))
        actual[batch] = np.stack(list(runtime.run(windows, 3)))
    assert len(actual[3]) == len(windows)
    np.testing.assert_allclose(actual[1], actual[3], atol=1e-4 * np.abs(actual[1]).max())


def test_every_runtime_accepts_flipped_windows() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    bundle = load_bundle("refine")
    planes = np.random.default_rng(0).standard_normal((bundle.contract.channels, 64, 64))
    oriented = [turn.apply(planes.astype("f4")) for turn in ORIENTATIONS[8]]
    actual = [
        np.stack(list(make_runtime(bundle, 64, Choice(name, "CPU", "f32")).run(oriented, 2)))
        for name in ("openvino", "torch")
    ]
    np.testing.assert_allclose(*actual, atol=1e-3 * np.abs(actual[0]).max())


@pytest.mark.parametrize(
    ("kind", "message"),
    [("memory", "the GPU has too little memory"), ("kernel", "no kernel image")],
)
def test_gpu_errors_name_a_cure(monkeypatch: pytest.MonkeyPatch, kind: str, message: str) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    import torch

    bundle = load_bundle("refine")
    runtime = make_runtime(bundle, 64, Choice("torch", "CPU", "f32"))

    error = torch.cuda.OutOfMemoryError if kind == "memory" else RuntimeError

    def fail(_: object) -> None:
        raise error("no kernel image is available\nand more")

    monkeypatch.setattr(runtime, "_network", fail)
    planes = np.zeros((bundle.contract.channels, 64, 64), np.float32)
    with pytest.raises(ResourceError, match=f"{message}.*use --runtime openvino"):
        list(runtime.run([planes], 1))


def test_reading_ahead_does_not_change_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU takes many windows per batch."""
    import rasterio

    from demiurge.model.backend.openvino import OpenVinoRuntime

    heights = terrain(300, 200)
    heights[40:90, 30:80] = np.nan
    dsm = write_raster(tmp_path / "dsm.tif", heights)
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2))
    actual = []
    for batch in (1, 5):
        monkeypatch.setattr(OpenVinoRuntime, "batch", batch)
        refine(dsm, tmp_path / "out.tif", bundle=bundle, options=Options(window=64, overwrite=True))
        with rasterio.open(tmp_path / "out.tif") as file:
            actual.append(file.read())
    np.testing.assert_array_equal(*actual)
