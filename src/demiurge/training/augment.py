"""Changes to training chips that keep the truth true. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.layers import Kind, layer
from demiurge.training.quality import good_heights, waves
from demiurge.training.recipe import Recipe

#: Name of the true surface among the truths.
SURFACE = "truth_dsm"
#: Share of a chip whose true surface is known, for it to become the base.
_KNOWN = 0.5


def augment(
    inputs: Array, truth: Array, names: Sequence[str], recipe: Recipe, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Apply the recipe's changes to one chip.

    Parameters
    ----------
    inputs
        float32 (layers, size, size) in the order of ``names``, NaN for no data; may be changed.
    truth
        float32 (targets, size, size); turned along, otherwise left alone.
    """
    settings = recipe.augment
    if settings.flip:
        inputs, truth = _turn(inputs, truth, rng)
    if settings.diagonal and rng.random() < 0.5:
        inputs, truth = (np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (inputs, truth))
    if settings.swap_images and rng.random() < 0.5:
        _swap(inputs, names)
    if settings.brightness:
        _brighten(inputs, names, settings.brightness, rng)
    if settings.texture:
        _roughen(inputs, names, settings.texture, rng)
    if recipe.base == "dsm" and (settings.good_inputs or settings.waves):
        surface = recipe.truths.index(SURFACE) if SURFACE in recipe.truths else None
        _grade(inputs, None if surface is None else truth[surface], names, recipe, rng)
    if rng.random() < settings.margins:
        _cut(inputs, truth, rng)
    if recipe.base is not None and rng.random() < settings.voids:
        _tear(inputs, names, recipe.base, rng)
    if settings.drop_layers:
        for name in recipe.optional:
            if rng.random() < settings.drop_layers and name in names:
                inputs[names.index(name)] = np.nan
    return inputs, truth


def _turn(inputs: Array, truth: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    quarters, mirror = int(rng.integers(4)), bool(rng.integers(2))
    turned = [np.rot90(a, quarters, axes=(1, 2)) for a in (inputs, truth)]
    if mirror:
        turned = [a[:, :, ::-1] for a in turned]
    return np.ascontiguousarray(turned[0]), np.ascontiguousarray(turned[1])


def _swap(inputs: Array, names: Sequence[str]) -> None:
    if "ortho_left" in names and "ortho_right" in names:
        left, right = names.index("ortho_left"), names.index("ortho_right")
        inputs[[left, right]] = inputs[[right, left]]


def _images(inputs: Array, names: Sequence[str]) -> Iterator[int]:
    """Yield where the images are that show something."""
    for index, name in enumerate(names):
        if layer(name).kind is Kind.IMAGE and np.isfinite(inputs[index]).any():
            yield index


def _brighten(inputs: Array, names: Sequence[str], spread: float, rng: np.random.Generator) -> None:
    """Change gain and offset of each image by a share of its own spread in the chip."""
    for index in _images(inputs, names):
        mean, deviation = np.nanmean(inputs[index]), np.nanstd(inputs[index])
        gain = np.float32(1 + spread * rng.standard_normal())
        shift = np.float32(spread * rng.standard_normal() * deviation)
        inputs[index] = (inputs[index] - mean) * gain + mean + shift


def _roughen(inputs: Array, names: Sequence[str], most: float, rng: np.random.Generator) -> None:
    """Give images noise, and one patchiness to all of them: albedo that heights do not explain."""
    patches = ndimage.gaussian_filter(
        rng.standard_normal(inputs.shape[1:]), 2 ** rng.uniform(0, 4)
    ).astype(np.float32)
    patches *= np.float32(rng.uniform(0, most) / max(float(patches.std()), 1e-9))
    grain = np.float32(rng.uniform(0, most / 2))
    for index in _images(inputs, names):
        spread = np.nanstd(inputs[index])
        noise = rng.standard_normal(inputs.shape[1:], np.float32)
        inputs[index] += spread * (patches + grain * noise)


def _grade(
    inputs: Array,
    surface: Array | None,
    names: Sequence[str],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    """Exchange the base for good heights, or give it errors that are correlated.

    Good heights come from the true surface: there are none where most of it is unknown.
    """
    index = names.index("dsm")
    known = surface is not None and np.isfinite(surface).mean() > _KNOWN
    if rng.random() < recipe.augment.good_inputs and surface is not None and known:
        inputs[index] = good_heights(inputs[index], surface, rng)
        if "triangulation_error" in names:
            # Good heights come with small errors of the rays, or with none told.
            told = np.float32(rng.random() if rng.random() < 0.6 else np.nan)
            inputs[names.index("triangulation_error")] *= told
    elif rng.random() < recipe.augment.waves:
        inputs[index] += np.float32(rng.uniform(0.05, 0.5)) * waves(inputs[index].shape, rng)


def _cut(inputs: Array, truth: Array, rng: np.random.Generator) -> None:
    """Take away all that is known in a margin along one or two sides."""
    size = inputs.shape[1]
    for axis in rng.permutation(2)[: int(rng.integers(1, 3))]:
        width = int(rng.integers(1, max(size // 2, 2)))
        gone = slice(0, width) if rng.random() < 0.5 else slice(size - width, size)
        place = (slice(None), gone) if axis == 0 else (slice(None), slice(None), gone)
        inputs[place] = np.nan
        truth[place] = np.nan


def _tear(inputs: Array, names: Sequence[str], base: str, rng: np.random.Generator) -> None:
    """Make a ragged void in the base heights and in what was measured along with them."""
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
