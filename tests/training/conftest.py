from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe

MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """Prepare a scene of hills whose initial DSM is 3 m too high, with an image."""

    def make(
        name: str = "scene",
        rows: int = 160,
        columns: int = 192,
        east: float = 0.0,
        seed: int = 0,
        offset: float = 0.0,
    ) -> Scene:
        truth = terrain(rows, columns, seed)
        heights = truth + 3
        heights[20:30, 20:30] = np.nan
        transform = from_origin(LEFT + east, TOP, 2, 2)
        truth_file = (truth + offset).astype(np.float32)
        image = (50 * np.gradient(truth)[0] + 500).astype(np.float32)
        files = {
            "dsm": write_raster(tmp_path / f"{name}_dsm.tif", heights, transform=transform),
            "truth_dsm": write_raster(
                tmp_path / f"{name}_truth.tif", truth_file, transform=transform
            ),
            "ortho_left": write_raster(tmp_path / f"{name}_left.tif", image, transform=transform),
        }
        return prepare(files, tmp_path / name)

    return make


@pytest.fixture
def recipe() -> Recipe:
    return tiny_recipe()


def tiny_recipe(**changes: object) -> Recipe:
    content: dict[str, object] = {
        "name": "tiny",
        "task": "refine",
        "layers": ["dsm", "ortho_left"],
        "optional": ["ortho_left"],
        "base": "dsm",
        "targets": ["dsm"],
        "chips": {"size": 32, "per_epoch": 24, "batch": 4},
        "network": {"encoder": "resnet18", "depth": 3, "decoder_channels": [16, 8, 8]},
        "split": {"validation": 0.25, "buffer": 8},
        "epochs": 2,
        **changes,
    }
    return Recipe.model_validate(content)
