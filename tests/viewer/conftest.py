"""A catalogue of small rasters."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.importorskip("titiler.core")

from view_rasters import COLUMNS, ROWS, heights, write

from demiurge.viewer.catalogue import Catalogue, open_catalogue


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A surface of four bands, its initial DSM (1 m higher), and an image."""
    z = heights()
    ground = np.broadcast_to(100 + 0.1 * np.arange(COLUMNS, dtype=np.float32), z.shape)
    surface = np.stack([z, np.full_like(z, 0.5), ground, np.full_like(z, 0.25)])
    names = ["dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty"]
    colours = np.zeros((3, ROWS, COLUMNS), np.uint8)
    colours[0, :, : COLUMNS // 2], colours[2, :, COLUMNS // 2 :] = 200, 200
    return [
        write(tmp_path / "better.tif", surface, names),
        write(tmp_path / "initial.tif", (z + 1)[None]),
        write(tmp_path / "image.tif", colours, photometric="RGB"),
    ]


@pytest.fixture
def catalogue(files: list[Path]) -> Catalogue:
    return open_catalogue(files)
