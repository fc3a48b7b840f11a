"""Generated rasters and bundles for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from scipy import ndimage

LAYERS = (
    "dsm", "ortho_left", "ortho_right", "ndvi", "triangulation_error", "valid", "truth_dsm",
)  # fmt: skip
GRID = from_origin(500000, 4000000, 0.5, 0.5)


def planes(side: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return layers of a scene: hills, textured images, a few voids."""
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.standard_normal((side, side)), 20, mode="wrap") * 400
    truth = (truth + 1500).astype(np.float32)
    noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), 1.5, mode="wrap")
    image = ndimage.gaussian_filter(rng.standard_normal((side, side)), 0.7, mode="wrap")
    dsm = (truth + 3 * noise).astype(np.float32)
    dsm[ndimage.gaussian_filter(rng.standard_normal((side, side)), 5, mode="wrap") > 0.1] = np.nan
    error = np.abs(noise).astype(np.float32)
    return {
        "dsm": dsm,
        "ortho_left": (400 + 90 * image).astype(np.float32),
        "ortho_right": (420 + 80 * image + 10 * noise).astype(np.float32),
        "ndvi": np.clip(image * 0.3, -1, 1).astype(np.float32),
        "triangulation_error": error,
        "valid": np.isfinite(dsm).astype(np.float32),
        "truth_dsm": truth,
    }


def write_layers(folder: Path, side: int, layers: tuple[str, ...] = LAYERS) -> dict[str, Path]:
    """Write one GeoTIFF per layer as stereo tools do: tiled, compressed, -9999 for no data."""
    folder.mkdir(parents=True, exist_ok=True)
    content = planes(side)
    paths = {}
    for name in layers:
        paths[name] = folder / f"{name}.tif"
        with rasterio.open(
            paths[name], "w", driver="GTiff", dtype="float32", count=1, height=side, width=side,
            crs="EPSG:32633", transform=GRID, nodata=-9999.0,
            tiled=True, blockxsize=256, blockysize=256, compress="lzw",
        ) as file:  # fmt: skip
            file.write(np.nan_to_num(content[name], nan=-9999.0), 1)
    return paths


def grid(side: int) -> GeoBox:
    return GeoBox((side, side), GRID, "EPSG:32633")


def resnet_bundle(path: Path, layers: tuple[str, ...], window: int = 256) -> Path:
    """Write a ResNet-18 U-Net with fixed random weights; its speed is that of a trained one."""
    import torch

    from demiurge.model.bundle import Card, PixelSizes, WindowPlan, save_bundle
    from demiurge.model.contract import Contract, Heights, InputLayer
    from demiurge.model.export import to_onnx, to_safetensors
    from demiurge.model.network import build_network
    from demiurge.model.settings import NetworkSettings

    contract = Contract(
        layers=[InputLayer(name=name, offset=0, scale=100.0) for name in layers],
        base="dsm",
        targets=["dsm"],
        heights=Heights(scale=10.0),
        equalise=False,
    )
    torch.manual_seed(0)
    network = build_network(NetworkSettings(), contract.channels, contract.outputs)
    torch.nn.init.normal_(network.segmentation_head[0].weight, std=0.05)
    card = Card(
        name="resnet18",
        task="refine",
        contract=contract,
        pixel_sizes=PixelSizes(low=0.5, high=0.5),
        window=WindowPlan(size=window, overlap=0.25),
    )
    graph = to_onnx(network, contract.channels)
    weights = to_safetensors(network, graph)
    save_bundle(path, card, graph, weights, overwrite=True)
    return path


def big_scene(folder: Path, side: int, layers: tuple[str, ...], tile: int = 1024) -> Path:
    """Write a prepared scene of any size from one tile, repeated with its mirror images."""
    from demiurge.scene.geotiff import create_stack, map_stack
    from demiurge.scene.prepare import prepare

    small = planes(tile)
    seed = folder.with_name(f"{folder.name}_seed")
    prepare(write_layers(seed / "layers", tile, layers), seed / "scene", equalise=False)
    folder.mkdir(parents=True)
    create_stack(folder / "stack.tif", grid(side), list(layers))
    stack = map_stack(folder / "stack.tif", writable=True)
    assert stack is not None
    for row in range(0, side, tile):
        for col in range(0, side, tile):
            height, width = min(tile, side - row), min(tile, side - col)
            flips = (slice(None, None, -1 if row // tile % 2 else 1),
                     slice(None, None, -1 if col // tile % 2 else 1))  # fmt: skip
            for band, name in enumerate(layers):
                stack[band, row : row + height, col : col + width] = small[name][flips][
                    :height, :width
                ]
    stack.flush()
    spec = (seed / "scene" / "scene.yaml").read_text()
    (folder / "scene.yaml").write_text(spec.replace(f"{tile}", f"{side}"))
    return folder
