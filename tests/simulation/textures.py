"""Random textures to match."""

import numpy as np
from scipy import ndimage


def textured(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return a float32 image around 0.3 with detail of about a pixel."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return (0.3 + 0.1 * ndimage.gaussian_filter(noise, 0.8) * 3).astype(np.float32)
