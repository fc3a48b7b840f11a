"""Random tone and colours of training chips: cameras, exposure and film differ between flights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demiurge.arrays import Array, Values

_COLOURS = ("red", "green", "blue")
#: Range of the exponent of the tone curve.
_GAMMA = (0.6, 1.7)
#: Shares of the changed chips whose colours are exchanged, mixed to grey, or made infrared false
#: colour; the others only get a tone curve.
_EXCHANGED, _GREY, _INFRARED = 0.15, 0.15, 0.25
#: Excess green above which a surface counts as vegetation, and the width of the transition.
_GREEN, _TRANSITION = 0.05, 0.03


def change_colours(inputs: Array, names: Sequence[str], rng: np.random.Generator) -> None:
    """Give the colours of a chip another tone curve, and some chips other colours, in place.

    Each band keeps its mean and standard deviation, because scenes are normalised by theirs.
    Nothing changes without red, green and blue.

    Parameters
    ----------
    inputs
        float32 (layers, size, size) in the order of ``names``, NaN for no data.
    """
    if not set(_COLOURS) <= set(names):
        return
    index = [names.index(name) for name in _COLOURS]
    known = np.isfinite(inputs[index]).all(axis=0)
    old = inputs[index][:, known].astype(np.float64)
    if old.size == 0 or not np.ptp(old) > 0:
        return
    new = _toned(old, rng)
    draw = rng.random()
    if draw < _EXCHANGED:
        new = new[rng.permutation(3)]
    elif draw < _EXCHANGED + _GREY:
        new = np.broadcast_to(rng.dirichlet((2, 2, 2)) @ new, new.shape)
    elif draw < _EXCHANGED + _GREY + _INFRARED:
        new = np.stack([made_infrared(new, float(rng.uniform(0.5, 1.5))), new[0], new[1]])
    for band, before, after in zip(index, old, new, strict=True):
        deviation = after.std()
        scale = before.std() / deviation if deviation > 0 else 0.0
        inputs[band][known] = (after - after.mean()) * scale + before.mean()


def _toned(values: Values, rng: np.random.Generator) -> Values:
    """Return values between 0 and 1 after a power law of random exponent, alike for all bands."""
    low, high = values.min(), values.max()
    return np.asarray(((values - low) / (high - low)) ** np.exp(rng.uniform(*np.log(_GAMMA))))


def made_infrared(colours: Values, amount: float) -> Values:
    """Return a band that is bright on vegetation, as near infrared is.

    Vegetation is where the excess green index, (2 G − R − B) / (R + G + B) (Woebbecke et al. 1995,
    doi:10.13031/2013.27838), is high.

    Parameters
    ----------
    colours
        Red, green and blue (3, pixels), between 0 and 1.
    amount
        Share of green that full vegetation gains; it also gains a fifth of this share of the mean.
    """
    red, green, blue = colours
    total = np.maximum(red + green + blue, 1e-6)
    excess = (2 * green - red - blue) / total
    vegetation = 1 / (1 + np.exp(-np.clip((excess - _GREEN) / _TRANSITION, -30, 30)))
    return np.asarray(green * (1 + amount * vegetation) + 0.2 * amount * vegetation * green.mean())
