"""What a user should know before trusting a result: where a prior ends, what a bundle never saw."""

from __future__ import annotations

from collections.abc import Iterator

from demiurge.layers import PRIOR, Kind
from demiurge.model.bundle import Bundle
from demiurge.scene.scene import Scene

#: Shares of a scene without prior that go without saying.
_TOLD = 0.001
#: How many times finer or coarser than any seen an image may be.
_GRAIN = 1.5
#: From how many spreads off, and how many times the spread, an image is unlike those learned from.
_SHIFT, _SPREAD = 3.0, 5.0


def without_prior(scene: Scene, bundle: Bundle) -> Iterator[str]:
    """Say how much of a scene its prior does not cover."""
    if bundle.contract.base == PRIOR:
        without = float(scene.statistics(PRIOR)["voids"])
        if without > _TOLD:
            yield f"the prior lacks {without:.0%} of the image; there the result stays empty"


def unlike(scene: Scene, bundle: Bundle) -> Iterator[str]:
    """Say which layers are unlike what the bundle has learned from."""
    for entry in bundle.contract.layers:
        if entry.name not in scene.layers:
            continue
        if entry.grain is not None:
            yield from _grain(scene, bundle, entry.name, *entry.grain)
        if entry.normalise == "scene":
            continue
        found = scene.statistics(entry.name)
        if entry.kind in (Kind.MASK, Kind.HEIGHT) or not found["measured"]:
            continue
        shift = (found["mean"] - entry.offset) / entry.scale
        spread = found["std"] / entry.scale
        if abs(shift) > _SHIFT or not 1 / _SPREAD < spread < _SPREAD:
            yield (
                f"{entry.name} is unlike what bundle '{bundle.card.name}' has seen (mean "
                f"{found['mean']:.4g}, spread {found['std']:.4g}; seen {entry.offset:.4g} and "
                f"{entry.scale:.4g}): take the result for a guess"
            )


def _grain(scene: Scene, bundle: Bundle, name: str, low: float, high: float) -> Iterator[str]:
    """Say whether an image is far smoother or rougher than those learned from."""
    found = scene.grain(name)
    if found is None:
        yield f"{name} is the same everywhere: it tells nothing of heights"
    elif not low / _GRAIN <= found <= high * _GRAIN:
        what = "rougher" if found > high else "smoother"
        yield (
            f"{name} is {what} than what bundle '{bundle.card.name}' has seen (neighbours differ "
            f"by {found:.3f} of its spread; seen {low:.3f} to {high:.3f}): take the result for a "
            "guess"
        )
