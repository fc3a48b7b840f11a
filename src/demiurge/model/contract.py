"""The contract between rasters and a network: the one place where layers become numbers.

A network sees, per window, one plane for each layer (heights about the window's mean, images
about theirs, all of unit size, 0 where nothing is known) and one plane of 0 and 1 for each layer
that says where it was measured. It answers with corrections in units of ``heights.scale``, and
the logarithm of their Laplace scale. Training and applying both go through here.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, field_validator, model_validator

from demiurge import layers as vocabulary
from demiurge.arrays import Array, Mask
from demiurge.config import Strict
from demiurge.layers import Kind
from demiurge.raster.gaps import compress_gaps
from demiurge.raster.morphology import smooth_opening, tent_mean
from demiurge.raster.voids import fill_voids
from demiurge.scene.scene import Scene


def _power_of_two(width: int) -> int:
    if width & (width - 1):
        raise ValueError("the widths of relief are powers of two")
    return width


Width = Annotated[int, Field(ge=2, le=256), AfterValidator(_power_of_two)]

_SQRT2 = float(np.sqrt(2))
#: Pixel sizes that heights of a window may leave out between two of them, as the network sees it.
_WIDEST_GAP = 36
#: Pixel sizes up to which an uncertainty holds a change back: what is beyond is no noise.
_MOST_DOUBT = 24


class InputLayer(Strict):
    """One layer that the network sees.

    ``(value - offset) / scale`` is what it sees of images and indices; heights are seen about
    their mean, in units of ``scale`` times the contract's own.
    """

    name: str
    offset: float = 0.0
    scale: Annotated[float, Field(gt=0)] = 1.0
    normalise: Literal["bundle", "scene"] = Field(
        "bundle", description="offset and scale from the training scenes, or from each scene"
    )
    optional: bool = Field(False, description="the network was trained to do without it")
    grain: tuple[float, float] | None = Field(
        None,
        description="range over the training scenes of how much neighbouring pixels of an image "
        "differ, over its spread",
    )

    @property
    def kind(self) -> Kind:
        """Return what the numbers of the layer are."""
        return vocabulary.layer(self.name).kind


class Heights(Strict):
    """How metres become numbers of about unit size."""

    unit: Literal["metres", "pixels"] = Field(
        "metres", description="whether `scale` is in metres or in pixel sizes"
    )
    scale: Annotated[float, Field(gt=0)] = 1.0
    offset: float = Field(0.0, description="metres added to results of a network without a base")

    def metres(self, gsd: float) -> float:
        """Return the metres of one unit at a pixel size in metres."""
        return self.scale * gsd if self.unit == "pixels" else self.scale


@dataclass(frozen=True)
class Encoded:
    """A window as the network sees it.

    Attributes
    ----------
    planes
        float32 (channels, height, width), finite.
    starts
        float32 (targets, height, width) in metres: what corrections are added to. The base with
        its voids filled; for the bare earth its coarsest opening, smoothed, where the contract
        has one.
    unit
        Metres of one unit of the network's answer.
    base
        float32 (height, width) in metres: the base with its voids filled; 0 without one.
    measured
        bool (height, width): where the base was measured; nowhere without one.
    gsd
        Pixel size in metres.
    """

    planes: Array
    starts: Array
    unit: float
    base: Array
    measured: Mask
    gsd: float


class Contract(Strict):
    """What goes into a network and what comes out."""

    layers: list[InputLayer]
    base: str | None = Field(None, description="height layer that the answer corrects")
    targets: list[vocabulary.Target]
    ground: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list,
        description="sides in metres of openings of the base that the network sees; the bare "
        "earth is a correction of the last",
    )
    relief: list[Width] = Field(
        default_factory=list,
        description="widths in pixels, powers of two: the network also sees the base less its mean "
        "over so wide a surrounding, in pixel sizes",
    )
    local: Width | None = Field(
        None,
        description="width in pixels, a power of two: the base is seen about its mean over so "
        "wide a surrounding, so that neither the window's size nor a far cliff matters; about "
        "its window's mean if empty",
    )
    heights: Heights = Heights()
    relative: bool = Field(False, description="heights are relative, not metres above a datum")
    scaled: bool = Field(False, description="relative heights are in units of a window's spread")
    uncertainty: bool = True
    calibration: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: [1.0],
        description="factor on each target's predicted uncertainty, found on validation places; "
        "one alone is for all",
    )
    calibration_relative: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: [1.0],
        description="the same for scenes without the base, where that is optional",
    )
    prior_accuracy: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="RMS error in metres of the priors at their own pixels, on real validation "
        "places; left out where all were simulated",
    )
    shrink: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="soft threshold of the change of the measured base, in predicted standard "
        "deviations of at most 24 pixel sizes; 0 applies none",
    )
    equalise: bool = Field(True, description="panchromatic images are contrast equalised")

    @field_validator("calibration", "calibration_relative", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Bundles of the first days have one number for all targets."""
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
        if any(len(c) not in (1, len(self.targets)) for c in
               (self.calibration, self.calibration_relative)):  # fmt: skip
            raise ValueError("there is to be one calibration for each target")
        if self.shrink and not (self.uncertainty and self.base in self.targets):
            raise ValueError("shrink needs uncertainty and a base that is a target")
        return self

    @property
    def names(self) -> list[str]:
        """Return the layers' names in order."""
        return [entry.name for entry in self.layers]

    @property
    def required(self) -> tuple[str, ...]:
        """Return the layers that cannot be left out."""
        return tuple(entry.name for entry in self.layers if not entry.optional)

    def suited(self, have: Container[str]) -> Contract:
        """Return the contract for a scene with some layers: without its base, relative heights."""
        if self.base is None or self.base in have:
            return self
        changes = {
            "base": None,
            "relative": True,
            "calibration": self.calibration_relative,
            "shrink": 0.0,
        }
        return self.model_copy(update=changes)

    @property
    def channels(self) -> int:
        """Return the number of planes the network sees."""
        return len(self.layers) + len(self._masked) + len(self.ground) + len(self.relief)

    @property
    def outputs(self) -> int:
        """Return the number of planes the network answers with."""
        return len(self.targets) * (2 if self.uncertainty else 1)

    @property
    def _masked(self) -> list[int]:
        return [i for i, entry in enumerate(self.layers) if entry.kind is not Kind.MASK]

    def normals(self, scene: Scene) -> dict[str, tuple[float, float]]:
        """Return offset and scale of every layer for a scene."""
        found = {}
        for entry in self.layers:
            offset, scale = entry.offset, entry.scale
            if entry.normalise == "scene" and entry.name in scene.layers:
                statistics = scene.statistics(entry.name)
                if statistics["measured"] and statistics["std"] > 0:
                    offset, scale = statistics["mean"], statistics["std"]
            found[entry.name] = (offset, scale)
        return found

    def encode(
        self, window: Array, gsd: float, normals: Mapping[str, tuple[float, float]]
    ) -> Encoded:
        """Turn a window of layers into what the network sees.

        Parameters
        ----------
        window
            float32 (layers, height, width) in the contract's order and the layers' own units,
            NaN for no data; not changed.
        gsd
            Pixel size in metres.
        normals
            Offset and scale by layer, from :meth:`normals`.
        """
        unit = self.heights.metres(gsd)
        count = len(self.layers)
        planes = np.empty((self.channels, *window.shape[1:]), np.float32)
        measured = np.isfinite(window)
        base = seen = np.zeros(window.shape[1:], np.float32)
        middle = np.float32(0)
        reference: np.float32 | Array = middle
        based = np.zeros(window.shape[1:], bool)
        if self.base is not None:
            index = self.names.index(self.base)
            based = measured[index]
            base = fill_voids(window[index], measured[index])
            most = _WIDEST_GAP * gsd if self.base == "dsm" else np.inf
            seen = compress_gaps(base, based, most)
            reference = middle = _mean(seen, based, seen)
            if self.local is not None:
                reference = middle + tent_mean(seen - middle, self.local)
        for i, entry in enumerate(self.layers):
            plane, known = planes[i], measured[i]
            if not known.any():
                plane[:] = 0
            elif entry.kind is Kind.HEIGHT:
                filled = seen if entry.name == self.base else fill_voids(window[i], known)
                about = reference if self.base is not None else _mean(window[i], known, filled)
                np.subtract(filled, about, out=plane)
                plane /= np.float32(unit * entry.scale)
            else:
                offset, scale = normals[entry.name]
                np.subtract(window[i], np.float32(offset), out=plane)
                plane /= np.float32(scale)
                if not known.all():
                    plane[~known] = 0
        for channel, i in enumerate(self._masked, start=count):
            planes[channel] = measured[i]
        opened = seen
        for channel, side in enumerate(self.ground, start=count + len(self._masked)):
            opened = smooth_opening(seen, round(side / gsd))
            np.subtract(seen, opened, out=planes[channel])
            planes[channel] /= np.float32(unit)
        for channel, width in enumerate(self.relief, start=self.channels - len(self.relief)):
            if self.base is None:
                planes[channel] = 0
                continue
            # About the mean, so that sums over the surrounding keep their digits.
            np.subtract(seen, middle, out=planes[channel])
            planes[channel] -= tent_mean(planes[channel], width)
            planes[channel] /= np.float32(gsd)
        opened = opened + (base - seen) if seen is not base else opened
        starts = np.stack([opened if target == "dtm" else base for target in self.targets])
        return Encoded(planes, starts, unit, base, based, gsd)

    def decode(self, answer: Array, encoded: Encoded) -> Array:
        """Turn the network's answer into heights.

        Parameters
        ----------
        answer
            float32 (outputs, height, width).
        encoded
            The window the answer belongs to.

        Returns
        -------
        float32 (outputs, height, width): the targets' heights in metres; then, if the network
        tells, their uncertainty: standard deviation in metres, √2 times the scale of the
        predicted Laplace distribution.
        """
        count = len(self.targets)
        found = np.empty_like(answer)
        np.multiply(answer[:count], np.float32(encoded.unit), out=found[:count])
        found[:count] += encoded.starts
        if self.base is None and self.heights.offset:
            found[:count] += np.float32(self.heights.offset)
        if self.uncertainty:
            spread = found[count:]
            np.clip(answer[count:], -12, 12, out=spread)
            np.exp(spread, out=spread)
            factors = np.array(self.calibration, np.float32)[:, None, None]
            spread *= np.float32(_SQRT2 * encoded.unit) * factors
        if self.shrink:
            self._shrink(found, encoded)
        if set(self.targets) == {"dsm", "dtm"}:
            # Nothing stands below the ground.
            surface, earth = self.targets.index("dsm"), self.targets.index("dtm")
            np.minimum(found[earth], found[surface], out=found[earth])
        return found

    def _shrink(self, found: Array, encoded: Encoded) -> None:
        """Soft-threshold the change of the measured base by its uncertainty, in place."""
        index = [str(target) for target in self.targets].index(str(self.base))
        change = found[index] - encoded.base
        doubt = np.minimum(found[len(self.targets) + index], np.float32(_MOST_DOUBT * encoded.gsd))
        least = np.float32(self.shrink) * doubt
        kept = np.sign(change) * np.maximum(np.abs(change) - least, 0)
        np.copyto(found[index], encoded.base + kept, where=encoded.measured)


def _mean(heights: Array, measured: npt.NDArray[np.bool_], filled: Array) -> np.float32:
    """Return the mean of the measured heights (in float64), or of the filled ones."""
    if measured.all() or not measured.any():
        return np.float32(filled.mean(dtype=np.float64))
    return np.float32(heights.mean(dtype=np.float64, where=measured))
