"""Heights above ground: a surface over a known ground, or heights that are no elevations."""

from __future__ import annotations

from demiurge.arrays import Array
from demiurge.errors import UsageError
from demiurge.layers import PRIOR
from demiurge.model.bundle import Bundle
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

_OVER_GROUND = (
    "the surface is the prior plus the predicted height above ground: the prior must be bare "
    "earth, because a surface model (GLO-30, SRTM) already contains trees and buildings; the "
    "uncertainty does not include the errors of the prior"
)
_NO_ELEVATION = (
    "the result is height above ground, not elevation; a coarse bare-earth model given with "
    "--prior makes it a surface"
)


def over_ground(scene: Scene, bundle: Bundle) -> bool:
    """Return whether predicted heights above ground are added to the scene's prior."""
    return bundle.contract.above_ground and PRIOR in scene.layers


def require_elevations(scene: Scene, bundle: Bundle) -> None:
    """Refuse to fit heights above ground to points.

    Raises
    ------
    UsageError
        If the result is no elevation.
    """
    if bundle.contract.above_ground and not over_ground(scene, bundle):
        raise UsageError(
            f"--points are elevations, and bundle '{bundle.card.name}' predicts height above "
            "ground",
            "give a bare-earth model with --prior, or leave out --points",
        )


def on_ground(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    """Return a note on what the heights are; empty unless the bundle predicts them above ground."""
    if not bundle.contract.above_ground:
        return ()
    return (_OVER_GROUND if over_ground(scene, bundle) else _NO_ELEVATION,)


def add_ground(scene: Scene, area: Window, heights: Array) -> None:
    """Add the prior to heights above ground, in place.

    Parameters
    ----------
    area
        Window of the scene that the heights cover.
    heights
        float32 (rows, columns) in metres; NaN where either is unknown afterwards.
    """
    heights += scene.read(area, [PRIOR])[0]


def tags_of(scene: Scene, bundle: Bundle) -> dict[str, str]:
    """Return tags on what the heights are; empty unless the bundle predicts them above ground."""
    if not bundle.contract.above_ground:
        return {}
    if over_ground(scene, bundle):
        return {"heights": "prior plus predicted height above ground"}
    return {"heights": "above ground", "vertical_reference": "none"}
