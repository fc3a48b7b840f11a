"""What a user should know before trusting a result: where a prior ends, what a bundle never saw."""

from __future__ import annotations

from collections.abc import Iterator

from demiurge.errors import DataError
from demiurge.layers import PANCHROMATIC, PRIOR, Kind
from demiurge.model.bundle import Bundle
from demiurge.raster.smoothness import smoothness
from demiurge.scene.grid import sample_windows
from demiurge.scene.scene import Scene

#: Shares of a scene without prior that go without saying.
_TOLD = 0.001
#: How many times finer or coarser than any seen an image may be.
_GRAIN = 1.5
#: Pixels a side of the patches in which heights are looked at.
_LOOK = 512
#: From how many spreads off, and how many times the spread, an image is unlike those learned from.
_SHIFT, _SPREAD = 3.0, 5.0


def without_prior(scene: Scene, bundle: Bundle) -> Iterator[str]:
    """Say how much of a scene its prior does not cover."""
    if bundle.contract.base == PRIOR:
        without = float(scene.statistics(PRIOR)["voids"])
        if without > _TOLD:
            yield f"the prior lacks {without:.0%} of the image; there the result stays empty"


def clean(scene: Scene, bundle: Bundle, targets: list[str], any_input: bool) -> Iterator[str]:
    """Refuse a DSM too clean for a bundle, and say of others what the bundle is made for.

    Raises
    ------
    DataError
        If the surface is wanted, the DSM is as sharp as lidar's, and ``any_input`` is not set.
    """
    least, base = bundle.card.clean_below, bundle.contract.base
    if least is None or base is None:
        return
    name = bundle.card.name
    windows = (window for row in sample_windows(scene.shape, _LOOK) for window in row)
    found = smoothness(scene.read(window, [base])[0] for window in windows)
    if found is not None and found < least:
        what = f"the {base} looks like one from lidar or a drone (smoothness {found:.2f}, stereo "
        what += f"from {least:g}), and bundle '{name}' is made for raw stereo DSMs"
        if base in targets and not any_input:
            raise DataError(
                f"{scene.name}: {what}: it would flatten roofs and crowns",
                "keep it as it is, ask for the bare earth alone with --target dtm, or go on with "
                "--any-input",
            )
        yield f"{what}: roofs and crowns of such a one lose height"
    elif not any(image in scene.layers for image in PANCHROMATIC):
        yield (
            f"bundle '{name}' is made for raw stereo DSMs; in one from lidar, a drone or careful "
            "editing, roofs and crowns lose height"
        )


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
