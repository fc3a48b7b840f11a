"""Bands of a result: which of a bundle's targets are written, their names and units."""

from __future__ import annotations

from demiurge.errors import UsageError
from demiurge.layers import ABOVE_GROUND, PAINTED, layer
from demiurge.model.bundle import Bundle
from demiurge.predict.options import Target
from demiurge.predict.surface import BandInfo

_ABOUT = {
    "dsm": "surface height",
    "dtm": "bare-earth height",
    ABOVE_GROUND: "height above ground, no elevation",
    **{name: f"imagined {layer(name).about}" for name in PAINTED},
}


def chosen_targets(bundle: Bundle, wanted: Target | None) -> list[str]:
    """Return the targets to write: those wanted, or all of the bundle.

    Raises
    ------
    UsageError
        If the bundle does not predict one.
    """
    have: list[str] = list(bundle.contract.targets)
    need: list[str] = ["dsm", "dtm"] if wanted == "both" else [wanted] if wanted else have
    for target in need:
        if target not in have:
            cure = f"choose --target {' or '.join(have)}, or another bundle"
            if bundle.contract.above_ground:
                cure = "leave out --target; with --prior, heights are added to the ground"
            raise UsageError(f"bundle '{bundle.card.name}' predicts no {target}", cure)
    return need


def bands_of(
    bundle: Bundle, targets: list[str], *, relative: bool, over_ground: bool
) -> tuple[list[BandInfo], list[int]]:
    """Return the bands of the file, and the planes of the network's result that they are.

    Parameters
    ----------
    over_ground
        Heights above ground are added to a known ground: the band is a surface.
    """
    contract, bands, order = bundle.contract, [], []
    names: list[str] = list(contract.targets)
    unit = "DN" if bundle.card.task == "imagine" else "relative" if relative else "m"
    for target in targets:
        shown = "dsm" if over_ground else target
        name, index = f"{shown}_relative" if relative else shown, names.index(target)
        bands.append(BandInfo(name, unit, _ABOUT[shown]))
        order.append(index)
        if contract.uncertainty:
            about = "standard deviation of the predicted error distribution"
            bands.append(BandInfo(f"{name}_uncertainty", unit, about))
            order.append(len(names) + index)
    return bands, order
