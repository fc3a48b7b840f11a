"""Input layers of a network and their normalisation for a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from demiurge import layers as vocabulary
from demiurge.config import Strict
from demiurge.layers import Kind
from demiurge.scene.scene import Scene


class InputLayer(Strict):
    """One input layer.

    Images and indices are normalised to ``(value - offset) / scale``; heights relative to their
    mean are divided by ``scale`` times the contract's unit.
    """

    name: str
    offset: float = 0.0
    scale: Annotated[float, Field(gt=0)] = 1.0
    normalise: Literal["bundle", "scene", "joint"] = Field(
        "bundle",
        description="normalise by statistics of the training scenes, of each scene, or of each "
        "scene over its bands together, so that colours keep their ratios",
    )
    optional: bool = Field(False, description="the network was trained with and without the layer")
    grain: tuple[float, float] | None = Field(
        None,
        description="range over the training scenes of the mean difference of neighbouring pixels "
        "of an image, divided by its standard deviation",
    )

    @property
    def kind(self) -> Kind:
        """Return the kind of the layer: heights, image, index or mask."""
        return vocabulary.layer(self.name).kind


def normals_of(layers: Sequence[InputLayer], scene: Scene) -> dict[str, tuple[float, float]]:
    """Return offset and scale of each layer for a scene."""
    joint = _joint_normal(layers, scene)
    normals = {}
    for entry in layers:
        found = None
        if entry.normalise == "scene" and entry.name in scene.layers:
            found = _normal([scene.statistics(entry.name)])
        elif entry.normalise == "joint":
            found = joint
        normals[entry.name] = found or (entry.offset, entry.scale)
    return normals


def _joint_normal(layers: Sequence[InputLayer], scene: Scene) -> tuple[float, float] | None:
    """Return one offset and scale for all jointly normalised bands; None without one.

    Only bands that the network requires count: an optional band, which training removes from
    chips, must not change the others.
    """
    joint = [entry for entry in layers if entry.normalise == "joint"]
    bands = [e.name for e in joint if not e.optional] or [e.name for e in joint]
    return _normal([scene.statistics(name) for name in bands if name in scene.layers])


def _normal(statistics: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Return mean and standard deviation of bands of equal weight; None without contrast."""
    known = [s for s in statistics if s["measured"]]
    if not known:
        return None
    mean = float(np.mean([s["mean"] for s in known]))
    # Variance within the bands plus variance between them.
    variance = float(np.mean([s["std"] ** 2 + (s["mean"] - mean) ** 2 for s in known]))
    return (mean, variance**0.5) if variance > 0 else None
