"""Random changes of training chips. Pure functions on arrays; the truth stays valid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.layers import Kind, layer
from demiurge.raster.voids import fill_voids
from demiurge.training.colours import change_colours
from demiurge.training.recipe import Recipe

#: Name of the true surface among the truths.
SURFACE = "truth_dsm"
#: Minimum share of a chip with a known true surface for it to replace the base.
_KNOWN = 0.5
#: Range of the ratio of the pixel size of a prior made from the truth to that of the truth.
_COARSENESS = (1.5, 10.0)
#: Maximum noise of a prior made from the truth, in metres per metre of its pixel size, and range
#: of the correlation length of the noise in its pixels.
_NOISE, _CORRELATION = 0.15, (0.3, 1.0)


def augment(
    inputs: Array, truth: Array, names: Sequence[str], recipe: Recipe, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Apply the random changes of a recipe to one chip.

    Parameters
    ----------
    inputs
        float32 (layers, size, size) in the order of ``names``, NaN for no data. May be modified
        in place.
    truth
        float32 (targets, size, size). Rotated with the inputs; void in the margins; otherwise
        unchanged.
    """
    settings = recipe.augment
    if settings.flip:
        inputs, truth = _rotate(inputs, truth, rng)
    if settings.diagonal and rng.random() < 0.5:
        inputs, truth = (np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (inputs, truth))
    if settings.swap_images and rng.random() < 0.5:
        _swap_images(inputs, names)
    if settings.colours and rng.random() < settings.colours:
        change_colours(inputs, names, rng)
    if settings.brightness:
        _change_brightness(inputs, names, settings.brightness, rng)
    if settings.texture:
        _add_texture(inputs, names, settings.texture, rng)
    if recipe.base == "dsm" and (settings.good_inputs or settings.waves):
        surface = recipe.truths.index(SURFACE) if SURFACE in recipe.truths else None
        _change_quality(inputs, None if surface is None else truth[surface], names, recipe, rng)
    if rng.random() < settings.margins:
        _cut_margins(inputs, truth, rng)
    if recipe.base is not None and rng.random() < settings.voids:
        _cut_void(inputs, names, recipe.base, rng)
    if settings.drop_layers:
        for name in recipe.optional:
            if rng.random() < settings.drop_layers and name in names:
                inputs[names.index(name)] = np.nan
    return inputs, truth


def _rotate(inputs: Array, truth: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    quarters, mirror = int(rng.integers(4)), bool(rng.integers(2))
    rotated = [np.rot90(a, quarters, axes=(1, 2)) for a in (inputs, truth)]
    if mirror:
        rotated = [a[:, :, ::-1] for a in rotated]
    return np.ascontiguousarray(rotated[0]), np.ascontiguousarray(rotated[1])


def _swap_images(inputs: Array, names: Sequence[str]) -> None:
    if "ortho_left" in names and "ortho_right" in names:
        left, right = names.index("ortho_left"), names.index("ortho_right")
        inputs[[left, right]] = inputs[[right, left]]


def _images(inputs: Array, names: Sequence[str]) -> Iterator[int]:
    """Yield the indices of images with any data."""
    for index, name in enumerate(names):
        if layer(name).kind is Kind.IMAGE and np.isfinite(inputs[index]).any():
            yield index


def _change_brightness(
    inputs: Array, names: Sequence[str], amount: float, rng: np.random.Generator
) -> None:
    """Apply a random gain and offset to each image, relative to its standard deviation."""
    for index in _images(inputs, names):
        mean, deviation = np.nanmean(inputs[index]), np.nanstd(inputs[index])
        gain = np.float32(1 + amount * rng.standard_normal())
        shift = np.float32(amount * rng.standard_normal() * deviation)
        inputs[index] = (inputs[index] - mean) * gain + mean + shift


def _add_texture(
    inputs: Array, names: Sequence[str], maximum: float, rng: np.random.Generator
) -> None:
    """Add noise to each image, and the same albedo patches to all, unrelated to the heights."""
    patches = ndimage.gaussian_filter(
        rng.standard_normal(inputs.shape[1:]), 2 ** rng.uniform(0, 4)
    ).astype(np.float32)
    patches *= np.float32(rng.uniform(0, maximum) / max(float(patches.std()), 1e-9))
    grain = np.float32(rng.uniform(0, maximum / 2))
    for index in _images(inputs, names):
        deviation = np.nanstd(inputs[index])
        noise = rng.standard_normal(inputs.shape[1:], np.float32)
        inputs[index] += deviation * (patches + grain * noise)


def _change_quality(
    inputs: Array,
    surface: Array | None,
    names: Sequence[str],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    """Replace the DSM by accurate heights, or add correlated errors to it.

    Accurate heights are made from the true surface if more than half of it is known.
    """
    index = names.index("dsm")
    known = surface is not None and np.isfinite(surface).mean() > _KNOWN
    if rng.random() < recipe.augment.good_inputs and surface is not None and known:
        inputs[index] = accurate_heights(inputs[index], surface, rng)
        if "triangulation_error" in names:
            # Accurate heights have a small triangulation error, or an unknown one.
            factor = np.float32(rng.random() if rng.random() < 0.6 else np.nan)
            inputs[names.index("triangulation_error")] *= factor
    elif rng.random() < recipe.augment.waves:
        amount = np.float32(rng.uniform(0.05, 0.5))
        inputs[index] += amount * correlated_noise(inputs[index].shape, rng)


def accurate_heights(stereo: Array, truth: Array, rng: np.random.Generator) -> Array:
    """Return heights between the truth and a stereo DSM, closer to the truth.

    A quarter of the results is the truth. The others have one or more of: a share of the stereo
    error, blur, white noise, correlated noise, rounding. Half of all results have the voids of
    the stereo DSM.

    Parameters
    ----------
    stereo, truth
        float32 (rows, columns) in metres, NaN for no data.

    Returns
    -------
    float32 of the same shape; NaN where the truth is unknown.
    """
    exact = rng.random() < 0.25
    heights = truth.copy() if exact else _degraded(stereo, truth, rng)
    if rng.random() < 0.5:
        heights[np.isnan(stereo)] = np.nan
    return heights


def _degraded(stereo: Array, truth: Array, rng: np.random.Generator) -> Array:
    heights = truth.copy()
    if rng.random() < 0.4:
        heights += np.float32(rng.uniform(0.1, 0.6)) * (stereo - truth)
    if rng.random() < 0.3:
        known = np.isfinite(heights)
        soft = ndimage.gaussian_filter(fill_voids(heights), rng.uniform(0.4, 1.0))
        heights = np.where(known, soft, np.float32(np.nan))
    if rng.random() < 0.35:
        heights += _log_uniform(0.02, 0.2, rng) * rng.standard_normal(truth.shape, np.float32)
    if rng.random() < 0.3:
        heights += _log_uniform(0.03, 0.4, rng) * correlated_noise(truth.shape, rng)
    if rng.random() < 0.2:
        step = _log_uniform(0.05, 0.5, rng)
        heights = np.rint(heights / step) * step
    return np.asarray(heights, np.float32)


def correlated_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return smooth noise of unit standard deviation, correlated over 2 to 16 pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 2 ** rng.uniform(0, 3))
    return np.asarray(noise / max(float(noise.std()), 1e-9), np.float32)


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> np.float32:
    return np.float32(np.exp(rng.uniform(np.log(low), np.log(high))))


def coarse_prior(truth: Array, gsd: float, rng: np.random.Generator) -> Array:
    """Return the truth as a coarse DEM of random pixel size would show it.

    The truth is smoothed, sampled at 1.5 to 10 times its pixel size and interpolated back. Half
    of the priors have noise; small amounts are more frequent than large ones.

    Parameters
    ----------
    truth
        float32 (rows, columns) in metres, NaN for no data.
    gsd
        Pixel size in metres.

    Returns
    -------
    float32 (rows, columns); NaN where the truth is NaN.
    """
    known = np.isfinite(truth)
    ratio = rng.uniform(*_COARSENESS)
    heights = np.where(known, truth, truth[known].mean(dtype=np.float64))
    smooth = ndimage.gaussian_filter(heights, rng.uniform(0.3, 0.7) * ratio, mode="nearest")
    cells = [int(np.ceil(n / ratio)) + 6 for n in truth.shape]
    start = rng.uniform(-3, -2, 2)
    at = [(s + np.arange(n)) * ratio for s, n in zip(start, cells, strict=True)]
    coarse = ndimage.map_coordinates(
        smooth, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest"
    )
    coarse += _prior_noise((cells[0], cells[1]), ratio * gsd, rng)
    back = [np.arange(n) / ratio - s for s, n in zip(start, truth.shape, strict=True)]
    order: Literal[1, 3] = 3 if rng.random() < 0.5 else 1
    prior = ndimage.map_coordinates(coarse, np.meshgrid(*back, indexing="ij"), order=order)
    return np.where(known, prior, np.nan).astype(np.float32)


def _prior_noise(shape: tuple[int, int], size: float, rng: np.random.Generator) -> Array:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(*_CORRELATION))
    amount = _NOISE * size * rng.uniform() ** 2 if rng.random() < 0.5 else 0.0
    return np.asarray(amount * noise / max(float(noise.std()), 1e-9), np.float32)


def _cut_margins(inputs: Array, truth: Array, rng: np.random.Generator) -> None:
    """Set inputs and truth to no data in a margin along one or two sides."""
    size = inputs.shape[1]
    for axis in rng.permutation(2)[: int(rng.integers(1, 3))]:
        width = int(rng.integers(1, max(size // 2, 2)))
        margin = slice(0, width) if rng.random() < 0.5 else slice(size - width, size)
        place = (slice(None), margin) if axis == 0 else (slice(None), slice(None), margin)
        inputs[place] = np.nan
        truth[place] = np.nan


def _cut_void(inputs: Array, names: Sequence[str], base: str, rng: np.random.Generator) -> None:
    """Cut a ragged void into the base heights, the triangulation error and the valid mask."""
    size = inputs.shape[1]
    noise = ndimage.gaussian_filter(rng.standard_normal(inputs.shape[1:]), size / 24)
    rows, columns = np.mgrid[:size, :size]
    middle = rng.uniform(0, size, 2)
    radius = rng.uniform(0.05, 0.3) * size
    distance = np.hypot(rows - middle[0], columns - middle[1]) / radius
    hole = distance + 0.5 * noise / max(float(noise.std()), 1e-9) < 1
    known = np.isfinite(inputs[names.index(base)])
    if (known & ~hole).sum() < 0.1 * known.size:
        return
    inputs[names.index(base)][hole] = np.nan
    if "triangulation_error" in names:
        inputs[names.index("triangulation_error")][hole] = np.nan
    if "valid" in names:
        inputs[names.index("valid")][hole] = 0
