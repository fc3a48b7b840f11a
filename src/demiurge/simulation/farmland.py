"""Fields of crops in a jittered, turned grid, as one sees them from above."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Mask
from demiurge.simulation.canvas import CROPS, Canvas


def field_numbers(
    shape: tuple[int, int], side: float, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Return the number of the field that each pixel lies in.

    Fields are the Voronoi cells of a jittered lattice, turned and stretched.

    Parameters
    ----------
    side
        Of a field in pixels.
    """
    angle, stretch = rng.uniform(0, np.pi / 2), rng.uniform(1.3, 2.4)
    reach = int(np.hypot(*shape) / side * stretch) + 2
    a, b = (g.ravel().astype(float) for g in np.mgrid[-reach:reach, -reach:reach])
    a += rng.uniform(-0.28, 0.28, a.size)
    b += rng.uniform(-0.28, 0.28, b.size)
    # Alternate rows are shifted by different amounts: boundaries do not run through.
    a += rng.uniform(0, 1, 2 * reach)[(np.rint(b).astype(int) + reach) % (2 * reach)]
    a *= side * stretch
    b *= side / stretch
    y = (a * np.sin(angle) + b * np.cos(angle) + shape[0] / 2).astype(int)
    x = (a * np.cos(angle) - b * np.sin(angle) + shape[1] / 2).astype(int)
    keep = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    empty = np.ones(shape, np.uint8)
    empty[y[keep], x[keep]] = 0
    if empty.all():
        return np.zeros(shape, np.int32)
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return np.asarray(labels, np.int32)


def lay_fields(
    canvas: Canvas, land: Mask, rng: np.random.Generator, side: float = 70.0
) -> npt.NDArray[np.int64]:
    """Turn land into fields of differing brightness, some with rows.

    Parameters
    ----------
    land
        bool (rows, columns) where fields may lie.
    side
        Of a field in metres.

    Returns
    -------
    Rows and columns of pixels on boundaries between fields, (n, 2).
    """
    numbers = field_numbers(canvas.shape, side / canvas.gsd, rng)
    count = int(numbers.max()) + 1
    tint = rng.normal(0, 0.25, count).astype(np.float32).clip(-0.5, 0.6)
    canvas.landcover[land] = CROPS
    np.copyto(canvas.shade, tint[numbers], where=land)
    edge = np.zeros(canvas.shape, bool)
    edge[1:, 1:] = (numbers[1:, 1:] != numbers[:-1, 1:]) | (numbers[1:, 1:] != numbers[1:, :-1])
    edge &= land
    # A boundary has a hedge along its whole length or not: told by the pair of fields.
    at = np.argwhere(edge)
    here = numbers[at[:, 0], at[:, 1]].astype(np.int64)
    other = numbers[np.maximum(at[:, 0] - 1, 0), at[:, 1]].astype(np.int64)
    chosen = (here * 7919 + other * 104729) % 10 < 4
    return np.asarray(at[chosen])
