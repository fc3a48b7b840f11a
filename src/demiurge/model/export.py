"""From a trained network to the members of a bundle."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from demiurge.model.pix2pix import Pix2PixGenerator

_SIDE = 64


def to_onnx(network: nn.Module, channels: int) -> bytes:
    """Return the network as an ONNX graph with free batch, height and width."""
    side = _SIDE
    if isinstance(network, Pix2PixGenerator):
        side = max(side, 2 ** len(network.down))
    example = torch.zeros(2, channels, side, side)
    network = network.eval().cpu()
    dynamic = torch.export.Dim.DYNAMIC
    with tempfile.TemporaryDirectory() as folder, _hushed():
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
            verbose=False,
        )
        return path.read_bytes()


def to_safetensors(network: nn.Module) -> bytes:
    """Return the network's weights and buffers in safetensors format."""
    from safetensors.torch import save

    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    content: bytes = save(state)
    return content


def round_weights(network: nn.Module) -> None:
    """Round all weights to the 11 significant bits of float16, so that bundles pack well.

    They stay float32; what is rounded off is far below what training leaves undecided.
    """
    spare = 13
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dtype == torch.float32:
                bits = tensor.contiguous().view(torch.int32)
                bits = (bits + (1 << (spare - 1))) & ~((1 << spare) - 1)
                tensor.copy_(bits.view(torch.float32))


def load_safetensors(network: nn.Module, weights: bytes) -> None:
    """Put weights into a network; raises RuntimeError where they do not fit."""
    from safetensors.torch import load

    network.load_state_dict(load(weights))


@contextlib.contextmanager
def _hushed():  # type: ignore[no-untyped-def]
    """Keep the exporter's remarks to itself; its errors still come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
