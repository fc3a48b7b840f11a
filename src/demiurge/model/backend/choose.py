"""Which runtime answers, and how exactly."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from demiurge.errors import ResourceError, missing_extra
from demiurge.model.backend.runtimes import (
    OnnxRuntime,
    OpenVinoRuntime,
    PrecisionName,
    Runtime,
    openvino_core,
)
from demiurge.model.bundle import Bundle

RuntimeChoice = Literal["auto", "openvino", "onnxruntime", "torch"]
PrecisionChoice = Literal["auto", "f32", "bf16"]

#: What stands for a GPU on Linux, on WSL, and for AMD's.
_GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Choice:
    """A runtime, a device and a precision."""

    runtime: Literal["openvino", "onnxruntime", "torch"]
    device: Literal["CPU", "CUDA"]
    precision: PrecisionName

    @property
    def about(self) -> str:
        """Say what runs where and how exactly, for tags and reports."""
        name = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "torch": "PyTorch"}
        return f"{name[self.runtime]} {self.device} {self.precision}"


def choose_runtime(bundle: Bundle, wanted: RuntimeChoice, precision: PrecisionChoice) -> Choice:
    """Decide what runs a bundle.

    PyTorch where there is a CUDA device and PyTorch, else OpenVINO on the CPU. A precision below
    f32 is chosen only if the bundle was checked for it.

    Raises
    ------
    ResourceError
        If the wanted runtime is not installed, or cannot do the precision.
    """
    if wanted == "auto":
        wanted = "torch" if _has_cuda() else "openvino"
    if wanted == "onnxruntime":
        if find_spec("onnxruntime") is None:
            raise missing_extra("onnxruntime", "onnxruntime", "this runtime")
        if precision == "bf16":
            raise ResourceError(
                "ONNX Runtime on the CPU computes in f32 alone", "leave --precision out"
            )
        return Choice("onnxruntime", "CPU", "f32")
    checked = bundle.card.runtime_precision == "bf16"
    if wanted == "torch":
        if find_spec("torch") is None:
            raise missing_extra("torch", "train", "this runtime")
        device: Literal["CPU", "CUDA"] = "CUDA" if _has_cuda() else "CPU"
        quick = device == "CUDA" or precision == "bf16" or has_bf16()
        auto: PrecisionName = "bf16" if checked and quick else "f32"
        return Choice("torch", device, auto if precision == "auto" else precision)
    if precision != "auto":
        return Choice("openvino", "CPU", precision)
    return Choice("openvino", "CPU", "bf16" if checked and has_bf16() else "f32")


def make_runtime(bundle: Bundle, size: int, choice: Choice, *, threads: int = 0) -> Runtime:
    """Make what was chosen ready for windows of one size.

    Parameters
    ----------
    threads
        Cores to use; all if 0.

    Raises
    ------
    BundleError
        If the bundle's graph cannot be run.
    """
    if choice.runtime == "onnxruntime":
        return OnnxRuntime(bundle, threads)
    if choice.runtime == "torch":
        from demiurge.model.backend.pytorch import TorchRuntime

        return TorchRuntime(bundle, size, choice.device, choice.precision)
    return OpenVinoRuntime(bundle, size, choice.precision, threads)


def has_bf16() -> bool:
    """Tell whether this CPU computes in bf16."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _has_cuda() -> bool:
    """Tell whether there is a CUDA device for PyTorch; torch is loaded only if there may be."""
    if sys.platform != "win32" and not any(Path(d).exists() for d in _GPUS):
        return False
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
