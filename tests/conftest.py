"""Small rasters with known answers, and a bundle whose answer is known."""

from __future__ import annotations

import importlib
import json
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin

from demiurge.model.bundle import Bundle, Card, PixelSizes, SunRange, WindowPlan, save_bundle
from demiurge.model.contract import Contract, Heights
from demiurge.model.normals import InputLayer

#: Fixtures of the viewer.
pytest_plugins = ("view_rasters",)

ROOT = Path(__file__).parents[1]
LEFT, TOP, PIXEL = 500000.0, 4000000.0, 2.0
CRS = "EPSG:32633"


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep in pytest's folder what libraries and programs leave among temporary files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError("a test tried to reach the network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


def importer(monkeypatch: pytest.MonkeyPatch, folder: str) -> Callable[[str], ModuleType]:
    """Return a function that imports the scripts of a folder of the repository by name."""
    monkeypatch.syspath_prepend(str(ROOT / folder))
    return importlib.import_module


def write_raster(
    path: Path,
    data: np.ndarray,
    *,
    crs: str | None = CRS,
    transform: Affine | None = None,
    nodata: float | None = None,
    names: list[str] | None = None,
    unit: str | None = None,
    scale: float | None = None,
    offset: float | None = None,
    **profile: Any,
) -> Path:
    """Write an array of (rows, columns) or (bands, rows, columns)."""
    data = data if data.ndim == 3 else data[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=data.shape[0],
        height=data.shape[1],
        width=data.shape[2],
        dtype=data.dtype,
        crs=crs,
        transform=from_origin(LEFT, TOP, PIXEL, PIXEL) if transform is None else transform,
        nodata=nodata,
        **profile,
    ) as target:
        target.write(data)
        for band, name in enumerate(names or [], start=1):
            target.set_band_description(band, name)
        if unit:
            target.units = [unit] * data.shape[0]
        if scale is not None:
            target.scales = [scale] * data.shape[0]
        if offset is not None:
            target.offsets = [offset] * data.shape[0]
    return path


def terrain(rows: int = 160, columns: int = 192, seed: int = 0) -> np.ndarray:
    """Smooth hills between about 60 and 140 m, float32."""
    return _terrain(rows, columns, seed).copy()


@lru_cache(maxsize=8)
def _terrain(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    heights = np.full((rows, columns), 100.0)
    for _ in range(6):
        kx, ky, phase = rng.uniform(0.02, 0.12), rng.uniform(0.02, 0.12), rng.uniform(0, 6)
        heights += rng.uniform(2, 8) * np.sin(kx * x + ky * y + phase)
    return heights.astype(np.float32)


@pytest.fixture
def raster(tmp_path: Path) -> Callable[..., Path]:
    """Write a raster of the test's own into its folder, by name."""

    def write(name: str, data: np.ndarray, **options: Any) -> Path:
        return write_raster(tmp_path / name, data, **options)

    return write


def constant_graph(channels: int, answers: list[float]) -> bytes:
    """Return a graph whose every output plane is a constant: a 1 × 1 convolution with no slope."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((len(answers), channels, 1, 1), np.float32)
    tensors = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.array(answers, np.float32), "bias"),
    ]
    node = helper.make_node("Conv", ["planes", "weight", "bias"], ["answer"])
    shape = ["n", channels, "h", "w"]
    graph = helper.make_graph(
        [node],
        "constant",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", len(answers), "h", "w"])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def blur_graph(channels: int, outputs: int, east: int | None = None) -> bytes:
    """Return a graph that depends on neighbours: a 9 × 9 mean of the first plane, everywhere.

    With ``east``, only the first output, and the mean is taken that many pixels to the west.
    """
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((outputs, channels, 9, 9), np.float32)
    weight[: outputs if east is None else 1, 0] = -1 / 81
    pads = [4, 4 + (east or 0), 4, 4 - (east or 0)]
    node = helper.make_node("Conv", ["planes", "weight"], ["answer"], pads=pads)
    shape = ["n", channels, "h", "w"]
    graph = helper.make_graph(
        [node],
        "blur",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", outputs, "h", "w"])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def plane_graph(channels: int, answers: list[int | None]) -> bytes:
    """Return a graph whose every output is an input plane, by its number, or 0 for None."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(constant_graph(channels, [0.0] * len(answers)))
    weight = np.zeros((len(answers), channels, 1, 1), np.float32)
    for output, plane in enumerate(answers):
        if plane is not None:
            weight[output, plane] = 1
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    content: bytes = model.SerializeToString()
    return content


def no_weights() -> bytes:
    header = json.dumps({}).encode()
    return struct.pack("<Q", len(header)) + header


def centring_graph() -> bytes:
    """Return a network whose output is its image less the window's mean, and a constant."""
    from onnx import TensorProto, helper, numpy_helper

    axes, first, zero = (
        numpy_helper.from_array(np.array(v, t), n)
        for v, t, n in (([2, 3], np.int64, "axes"), ([0], np.int64, "first"), (0, np.float32, "k"))
    )
    nodes = [
        helper.make_node("Gather", ["planes", "first"], ["image"], axis=1),
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["image", "mean"], ["heights"]),
        helper.make_node("Mul", ["image", "k"], ["log"]),
        helper.make_node("Concat", ["heights", "log"], ["answer"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "centring",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [axes, first, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def make_bundle(
    path: Path,
    *,
    task: str = "refine",
    layers: tuple[str, ...] = ("dsm",),
    optional: tuple[str, ...] = (),
    base: str | None = "dsm",
    targets: tuple[str, ...] = ("dsm",),
    answers: list[float] | None = None,
    scale: float = 10.0,
    uncertainty: bool = True,
    relative: bool = False,
    pixel: tuple[float, float] = (2.0, 2.0),
    graph: bytes | None = None,
    window: int = 64,
    recipe: dict[str, Any] | None = None,
    sun: bool = False,
    suns: SunRange | None = None,
) -> Bundle:
    """Write a bundle; by default it adds half a unit (5 m), with a scale of one unit."""
    contract = Contract(
        layers=[InputLayer(name=n, optional=n in optional) for n in layers],
        base=base,
        targets=list(targets),
        heights=Heights(scale=scale),
        uncertainty=uncertainty,
        relative=relative,
        sun=sun,
    )
    if answers is None:
        answers = [0.5] * len(targets) + [0.0] * (len(targets) if uncertainty else 0)
    card = Card(
        name=path.stem,
        task=task,
        contract=contract,
        pixel_sizes=PixelSizes(low=pixel[0], high=pixel[1]),
        window=WindowPlan(size=window, overlap=0.25),
        recipe=recipe or {},
        suns=suns,
    )
    content = graph or constant_graph(contract.channels, answers)
    return save_bundle(path, card, content, no_weights(), overwrite=True)
