"""Export of a trained network to the members of a bundle, and loading of its weights.

The graph keeps the names and exact values of the parameters, including batch norms, so that each
weight is stored once. Runtimes fold batch norms when they compile the graph.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from demiurge.baselines.pix2pix import Pix2PixGenerator
from demiurge.model.bundle import Bundle

_SIDE = 64


def to_onnx(network: nn.Module, channels: int) -> bytes:
    """Return the network as an ONNX graph with free batch, height and width.

    Initialisers have the names of the network's parameters and buffers. The exporter's metadata of
    the nodes are removed: they contain local paths.
    """
    import onnx

    side = _SIDE
    if isinstance(network, Pix2PixGenerator):
        side = max(side, 2 ** len(network.down))
    example = torch.zeros(2, channels, side, side)
    network = network.eval().cpu()
    dynamic = torch.export.Dim.DYNAMIC
    with tempfile.TemporaryDirectory() as folder, _quiet_exporter():
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            network,
            (example,),
            str(path),
            dynamo=True,
            input_names=["planes"],
            output_names=["answer"],
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
            external_data=False,
            optimize=False,  # would fold batch norms, so that weights could not be read back
            verbose=False,
        )
        model = onnx.load(path)
    del model.metadata_props[:]
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                 *model.graph.output, *model.graph.initializer):  # fmt: skip
        del part.metadata_props[:]
        part.doc_string = ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def to_safetensors(network: nn.Module, graph: bytes) -> bytes:
    """Return the weights and buffers that the graph lacks or changes, in safetensors format.

    Usually these are only the counters of batch norms.
    """
    from safetensors.torch import save

    held = _initialisers(graph)
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if not _same(held.get(name), tensor.detach().cpu().numpy())
    }
    content: bytes = save(state)
    return content


def round_weights(network: nn.Module) -> None:
    """Round all weights to the 11 significant bits of float16, in place.

    Bundles then compress well. The weights stay float32; the rounding is far below the
    uncertainty of the training.
    """
    dropped_bits = 13
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dtype == torch.float32:
                bits = tensor.contiguous().view(torch.int32)
                bits = (bits + (1 << (dropped_bits - 1))) & ~((1 << dropped_bits) - 1)
                tensor.copy_(bits.view(torch.float32))


def load_weights(network: nn.Module, bundle: Bundle) -> None:
    """Load a bundle's weights into a network.

    Raises
    ------
    RuntimeError
        If they do not fit the network.
    """
    from safetensors.torch import load

    state = load(bundle.weights())
    needed = network.state_dict().keys() - state.keys()
    if needed:
        held = _initialisers(bundle.graph())
        state |= {name: torch.from_numpy(held[name]) for name in needed & held.keys()}
    network.load_state_dict(state)


def _initialisers(graph: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """Return the constants of an ONNX graph by name."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    return {i.name: numpy_helper.to_array(i).copy() for i in model.graph.initializer}


def _same(held: npt.NDArray[np.generic] | None, wanted: npt.NDArray[np.generic]) -> bool:
    """Return whether two arrays have the same type, shape and bits."""
    return (
        held is not None
        and (held.dtype, held.shape) == (wanted.dtype, wanted.shape)
        and held.tobytes() == wanted.tobytes()
    )


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress warnings and output of the exporter, but not its errors."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
