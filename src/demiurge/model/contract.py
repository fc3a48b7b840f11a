"""The contract between rasters and a network: encoding of layers and decoding of outputs.

The input of a network is, per window, one normalised plane for each layer (heights relative to
their mean, 0 for no data), one plane of 0 and 1 for each layer that marks where it has data, and
planes of openings, of relief and of the sun. The output is a correction in units of
``heights.scale`` for each target, and the logarithm of the Laplace scale of its error. Training and
prediction use the same contract.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, field_validator, model_validator

from demiurge import layers as vocabulary
from demiurge.arrays import Array, Mask
from demiurge.config import Strict
from demiurge.layers import Kind
from demiurge.model.clean import CleanInput
from demiurge.model.encoded import Encoded
from demiurge.model.light import DIRECTION, encode_sun
from demiurge.model.normals import InputLayer, normals_of
from demiurge.raster.gaps import compress_gaps
from demiurge.raster.morphology import smooth_opening, tent_mean
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import Direction
from demiurge.scene.scene import Scene


def _power_of_two(width: int) -> int:
    if width & (width - 1):
        raise ValueError("the widths of relief must be powers of two")
    return width


Width = Annotated[int, Field(ge=2, le=256), AfterValidator(_power_of_two)]

_SQRT2 = float(np.sqrt(2))
#: Maximum height gap, in pixel sizes, between neighbouring heights of a window in the input.
_MAX_GAP = 36
#: Maximum uncertainty, in pixel sizes, that shrinks a change: larger changes are not noise.
_MAX_SHRINK = 24


class Heights(Strict):
    """Normalisation of heights."""

    unit: Literal["metres", "pixels"] = Field(
        "metres", description="unit of `scale`: metres or pixel sizes"
    )
    scale: Annotated[float, Field(gt=0)] = 1.0
    offset: float = Field(0.0, description="metres added to results of a network without a base")

    def metres(self, gsd: float) -> float:
        """Return the metres of one unit at a pixel size in metres."""
        return self.scale * gsd if self.unit == "pixels" else self.scale


@dataclass(frozen=True)
class _Base:
    """The base of a window, float32 (height, width) in metres.

    Attributes
    ----------
    filled, seen
        With voids filled; and with wide height gaps narrowed, as input of the network.
    measured
        bool (height, width): where the base has data.
    middle, zero
        Mean of ``seen``; and the heights that the input is relative to.
    """

    filled: Array
    seen: Array
    measured: Mask
    middle: np.float32
    zero: np.float32 | Array


class Contract(Strict):
    """Input layers, targets and normalisation of a network."""

    layers: list[InputLayer]
    base: str | None = Field(None, description="height layer that the network corrects")
    targets: list[vocabulary.Target]
    ground: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list,
        description="sides in metres of openings of the base that are inputs; the bare earth is "
        "predicted as a correction of the last",
    )
    relief: list[Width] = Field(
        default_factory=list,
        description="widths in pixels, powers of two: the base less its mean over a surrounding of "
        "this width, in pixel sizes, is also an input",
    )
    local: Width | None = Field(
        None,
        description="width in pixels, a power of two: the base is relative to its mean over a "
        "surrounding of this width, so that neither the window's size nor a distant cliff "
        "matters; relative to the mean of the window if empty",
    )
    sun: bool = Field(
        False,
        description="the direction to the sun is an input, with the incidence on the base; the "
        "network sees windows turned so that the sun is in the south-south-east",
    )
    withheld: str | None = Field(
        None, exclude=True, description="base of the contract that this one was suited from"
    )
    heights: Heights = Heights()
    relative: bool = Field(False, description="heights are relative, not metres above a datum")
    scaled: bool = Field(
        False, description="relative heights are in units of a window's standard deviation"
    )
    uncertainty: bool = True
    calibration: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: [1.0],
        description="factor of the predicted uncertainty for each target, calibrated on validation "
        "places; a single factor applies to all",
    )
    calibration_relative: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: [1.0],
        description="the same for scenes without the base, if it is optional",
    )
    prior_accuracy: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="RMSE in metres of the priors at their own pixels, on real validation places; "
        "empty if all were simulated",
    )
    shrink: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="soft threshold of the change of the measured base, in predicted standard "
        "deviations of at most 24 pixel sizes; 0 applies none",
    )
    clean_input: CleanInput | None = Field(
        None, description="stronger shrinkage of the changes of a base as accurate as lidar"
    )
    equalise: bool = Field(True, description="panchromatic images are contrast equalised")

    @field_validator("calibration", "calibration_relative", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Accept a single number, as in early bundles."""
        return value if isinstance(value, list) else [value]

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError("a layer is named twice")
        for name in names:
            vocabulary.layer(name)
        if self.base is not None and self.base not in names:
            raise ValueError(f"the base '{self.base}' is not among the layers")
        if self.ground and self.base is None:
            raise ValueError("openings need a base")
        if self.ground and self.base not in self.required:
            raise ValueError("openings need a base that is not optional")
        if not self.targets:
            raise ValueError("there is no target")
        if self.above_ground and (self.base is not None or len(self.targets) > 1):
            raise ValueError("heights above ground have no base and are the only target")
        if any(len(c) not in (1, len(self.targets)) for c in
               (self.calibration, self.calibration_relative)):  # fmt: skip
            raise ValueError("there must be one calibration for each target")
        if self.shrink and not (self.uncertainty and self.base in self.targets):
            raise ValueError("shrink needs uncertainty and a base that is a target")
        return self

    @property
    def names(self) -> list[str]:
        """Return the layers' names in order."""
        return [entry.name for entry in self.layers]

    @property
    def required(self) -> tuple[str, ...]:
        """Return the names of the layers that are not optional."""
        return tuple(entry.name for entry in self.layers if not entry.optional)

    def suited(self, have: Container[str]) -> Contract:
        """Return the contract for a scene with these layers; relative heights without the base."""
        if self.base is None or self.base in have:
            return self
        changes = {
            "base": None,
            "withheld": self.base,
            "relative": True,
            "calibration": self.calibration_relative,
            "shrink": 0.0,
        }
        return self.model_copy(update=changes)

    @property
    def above_ground(self) -> bool:
        """Return whether the target is the height above ground, which is no elevation."""
        return vocabulary.ABOVE_GROUND in self.targets

    @property
    def channels(self) -> int:
        """Return the number of input planes."""
        forms = len(self.ground) + len(self.relief)
        return len(self.layers) + len(self._masked) + forms + self._sun_planes

    @property
    def _sun_planes(self) -> int:
        if not self.sun:
            return 0
        return DIRECTION if self.base is None and self.withheld is None else DIRECTION + 1

    @property
    def outputs(self) -> int:
        """Return the number of output planes."""
        return len(self.targets) * (2 if self.uncertainty else 1)

    @property
    def surface_and_ground(self) -> bool:
        """Return whether DSM, DTM and their uncertainties are predicted."""
        return {"dsm", "dtm"} <= set(self.targets) and self.uncertainty

    @property
    def _masked(self) -> list[int]:
        return [i for i, entry in enumerate(self.layers) if entry.kind is not Kind.MASK]

    def normals(self, scene: Scene) -> dict[str, tuple[float, float]]:
        """Return offset and scale of each layer for a scene."""
        return normals_of(self.layers, scene)

    def encode(
        self,
        window: Array,
        gsd: float,
        normals: Mapping[str, tuple[float, float]],
        sun: Direction | None = None,
    ) -> Encoded:
        """Return the input of the network for a window of layers.

        Parameters
        ----------
        window
            float32 (layers, height, width) in the order of the contract and the units of the
            layers, NaN for no data; not changed.
        gsd
            Pixel size in metres.
        normals
            Offset and scale by layer, from :meth:`normals`.
        sun
            Direction to the sun, from the up direction of the window, if the contract has it.
        """
        unit = self.heights.metres(gsd)
        measured = np.isfinite(window)
        base = self._encode_base(window, measured, gsd)
        planes = np.empty((self.channels, *window.shape[1:]), np.float32)
        for i, entry in enumerate(self.layers):
            plane, layer, known = planes[i], window[i], measured[i]
            if not known.any():
                plane[:] = 0
            elif entry.kind is Kind.HEIGHT:
                filled = base.seen if entry.name == self.base else fill_voids(layer, known)
                zero = base.zero if self.base is not None else _mean(layer, known, filled)
                np.subtract(filled, zero, out=plane)
                plane /= np.float32(unit * entry.scale)
            else:
                offset, scale = normals[entry.name]
                np.subtract(layer, np.float32(offset), out=plane)
                plane /= np.float32(scale)
                if not known.all():
                    plane[~known] = 0
        first = len(self.layers) + len(self._masked)
        planes[len(self.layers) : first] = measured[self._masked]
        opened = self._encode_forms(planes[first:], base, gsd, unit)
        if self.sun:
            assert sun is not None, "the contract needs the direction to the sun"
            here = planes[self.channels - self._sun_planes :]
            encode_sun(here, None if self.base is None else base.filled, gsd, sun)
        if base.seen is not base.filled:
            opened = opened + (base.filled - base.seen)
        starts = np.stack([opened if t == "dtm" else base.filled for t in self.targets])
        return Encoded(planes, starts, unit, base.filled, base.measured, gsd)

    def _encode_base(self, window: Array, measured: Mask, gsd: float) -> _Base:
        if self.base is None:
            zeros = np.zeros(window.shape[1:], np.float32)
            return _Base(zeros, zeros, np.zeros(zeros.shape, bool), np.float32(0), np.float32(0))
        index = self.names.index(self.base)
        known = measured[index]
        filled = fill_voids(window[index], known)
        seen = compress_gaps(filled, known, _MAX_GAP * gsd if self.base == "dsm" else np.inf)
        middle = _mean(seen, known, seen)
        zero: np.float32 | Array = middle
        if self.local is not None:
            zero = middle + tent_mean(seen - middle, self.local)
        return _Base(filled, seen, known, middle, zero)

    def _encode_forms(self, planes: Array, base: _Base, gsd: float, unit: float) -> Array:
        """Write the planes of openings and relief; return the last opening."""
        opened = base.seen
        for i, side in enumerate(self.ground):
            opened = smooth_opening(base.seen, round(side / gsd))
            np.subtract(base.seen, opened, out=planes[i])
            planes[i] /= np.float32(unit)
        for i, width in enumerate(self.relief, start=len(self.ground)):
            if self.base is None:
                planes[i] = 0
                continue
            # Less the mean, so that sums over the surrounding keep their precision.
            np.subtract(base.seen, base.middle, out=planes[i])
            planes[i] -= tent_mean(planes[i], width)
            planes[i] /= np.float32(gsd)
        return opened

    def decode(self, output: Array, encoded: Encoded) -> Array:
        """Return the heights of a network's output.

        Parameters
        ----------
        output
            float32 (outputs, height, width).
        encoded
            The input that the output belongs to.

        Returns
        -------
        float32 (outputs, height, width): the heights of the targets in metres; then, with
        ``uncertainty``, their standard deviations in metres, √2 times the scales of the predicted
        Laplace distributions.
        """
        count = len(self.targets)
        heights = np.empty_like(output)
        np.multiply(output[:count], np.float32(encoded.unit), out=heights[:count])
        heights[:count] += encoded.starts
        if self.base is None and self.heights.offset:
            heights[:count] += np.float32(self.heights.offset)
        if self.uncertainty:
            deviation = heights[count:]
            np.clip(output[count:], -12, 12, out=deviation)
            np.exp(deviation, out=deviation)
            factors = np.array(self.calibration, np.float32)[:, None, None]
            deviation *= np.float32(_SQRT2 * encoded.unit) * factors
        if self.shrink:
            self._shrink(heights, encoded)
        if self.above_ground:
            np.maximum(heights[:count], 0, out=heights[:count])
        if set(self.targets) == {"dsm", "dtm"}:
            # The ground is not above the surface.
            surface, earth = self.targets.index("dsm"), self.targets.index("dtm")
            np.minimum(heights[earth], heights[surface], out=heights[earth])
        return heights

    def _shrink(self, heights: Array, encoded: Encoded) -> None:
        """Shrink the change of the measured base by its uncertainty (soft threshold), in place."""
        index = [str(target) for target in self.targets].index(str(self.base))
        change = heights[index] - encoded.base
        deviation = heights[len(self.targets) + index]
        deviation = np.minimum(deviation, np.float32(_MAX_SHRINK * encoded.gsd))
        least = np.float32(self.shrink) * deviation
        kept = np.sign(change) * np.maximum(np.abs(change) - least, 0)
        np.copyto(heights[index], encoded.base + kept, where=encoded.measured)


def _mean(heights: Array, measured: Mask, filled: Array) -> np.float32:
    """Return the mean of the measured heights, or of the filled ones if none was measured."""
    if measured.all() or not measured.any():
        return np.float32(filled.mean(dtype=np.float64))
    return np.float32(heights.mean(dtype=np.float64, where=measured))
