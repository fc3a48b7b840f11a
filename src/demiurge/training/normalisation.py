"""Input layers, their normalisation and the height scale of a network, from training scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demiurge.errors import DataError
from demiurge.layers import PANCHROMATIC, Kind, layer
from demiurge.model.contract import Contract, Heights
from demiurge.model.normals import InputLayer
from demiurge.progress import progress
from demiurge.training.dataset import TrainingChips, has_data
from demiurge.training.recipe import Recipe
from demiurge.training.split import Region

#: Number of chips that the height scale is measured on.
_CHIPS = 100


def make_contract(
    regions: Sequence[Region],
    recipe: Recipe,
    begin: Contract | None = None,
    *,
    quiet: bool = True,
) -> Contract:
    """Return the contract of a new network, from training regions only.

    Parameters
    ----------
    begin
        Contract of the bundle that training starts from. Its units are kept, its offsets and
        scales of measured layers, without which its weights would begin as another function, and
        its optional layers that no scene has.

    Raises
    ------
    DataError
        If only some scenes have equalised images, or if no chip has enough truth.
    """
    kept = {} if begin is None else {entry.name: entry for entry in begin.layers if entry.optional}
    # To a new network, a layer that no scene has would be a constant input.
    here = {n for n in recipe.layers if any(n in r.scene.layers for r in regions)}
    names = [n for n in recipe.layers if n in here or n in kept]
    _read_statistics(regions, [n for n in recipe.layers if n in here], quiet)
    entries = [_input_layer(n, regions, recipe) if n in here else kept[n] for n in names]
    entries = [_as_in(begin, entry) for entry in entries]
    baseless = recipe.base in recipe.optional and recipe.base not in names
    draft = Contract(
        layers=entries,
        base=None if baseless else recipe.base,
        targets=recipe.targets,
        ground=recipe.ground,
        relief=[] if baseless else recipe.relief,
        local=recipe.local,
        sun=recipe.sun,
        relative=recipe.heights.relative or baseless,
        scaled=recipe.heights.scaled,
        uncertainty=recipe.losses.uncertainty > 0,
        shrink=recipe.shrink if recipe.losses.uncertainty and recipe.base in recipe.targets else 0,
        clean_input=recipe.clean_input,
        equalise=_equalised(regions, names),
    )
    return draft.model_copy(update=_heights(draft, regions, recipe, begin, quiet))


def _heights(
    draft: Contract,
    regions: Sequence[Region],
    recipe: Recipe,
    begin: Contract | None,
    quiet: bool,
) -> dict[str, object]:
    """Return the fields of the contract that scale heights."""
    if begin is not None and begin.heights.unit == recipe.heights.unit:
        return {"heights": begin.heights}
    scale, offset = 1.0, 0.0
    if not recipe.heights.scaled:
        scale, offset = _measure_heights(TrainingChips(regions, recipe, draft), quiet)
    heights = Heights(unit=recipe.heights.unit, scale=scale, offset=offset)
    if recipe.task == "imagine":
        return {"heights": heights, "layers": _scaled_heights(draft, regions, scale)}
    return {"heights": heights}


def _read_statistics(regions: Sequence[Region], names: Sequence[str], quiet: bool) -> None:
    """Read the statistics of all images of a scene in one pass over its files."""
    images = [n for n in names if layer(n).kind is Kind.IMAGE]
    scenes = list({id(r.scene): r.scene for r in regions}.values())
    with progress("statistics", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for scene in scenes:
            scene.compute_statistics([n for n in images if n in scene.layers])
            advance()


def _equalised(regions: Sequence[Region], names: Sequence[str]) -> bool:
    """Return whether the panchromatic images are equalised; all scenes must be alike."""
    states = {
        name in region.scene.equalised
        for region in regions
        for name in PANCHROMATIC
        if name in names and name in region.scene.sources
    }
    if len(states) == 2:
        raise DataError(
            "some scenes have equalised panchromatic images and some have not",
            "prepare all of them alike",
        )
    return states != {False}


def _input_layer(name: str, regions: Sequence[Region], recipe: Recipe) -> InputLayer:
    kind = layer(name).kind
    optional = name in recipe.optional
    if kind in (Kind.HEIGHT, Kind.MASK, Kind.CLASS):
        return InputLayer(name=name, optional=optional)
    statistics = [r.scene.statistics(name) for r in regions if name in r.scene.layers]
    statistics = [s for s in statistics if s["measured"]]
    if not statistics:
        return InputLayer(name=name, optional=optional)
    mean = float(np.mean([s["mean"] for s in statistics]))
    # Variance within scenes plus variance between them.
    variance = np.mean([s["std"] ** 2 + (s["mean"] - mean) ** 2 for s in statistics])
    return InputLayer(
        name=name,
        offset=mean,
        scale=float(np.sqrt(variance)) or 1.0,
        normalise=recipe.images if kind is Kind.IMAGE else "bundle",
        optional=optional,
        grain=_grain(name, regions) if kind is Kind.IMAGE else None,
    )


def _as_in(begin: Contract | None, entry: InputLayer) -> InputLayer:
    """Return a layer with offset and scale of a bundle's; images differ between sensors."""
    known = [] if begin is None else [e for e in begin.layers if e.name == entry.name]
    if not known or entry.kind is Kind.IMAGE:
        return entry
    return entry.model_copy(update={"offset": known[0].offset, "scale": known[0].scale})


def _grain(name: str, regions: Sequence[Region]) -> tuple[float, float] | None:
    """Return the range of an image's roughness over the scenes."""
    scenes = {id(r.scene): r.scene for r in regions if name in r.scene.layers}
    values = [scene.grain(name) for scene in scenes.values()]
    known = [value for value in values if value is not None]
    return (round(min(known), 4), round(max(known), 4)) if known else None


def _scaled_heights(draft: Contract, regions: Sequence[Region], unit: float) -> list[InputLayer]:
    """Return input layers with heights scaled to about unit size, for targets that are none."""
    entries = []
    for entry in draft.layers:
        if entry.kind is Kind.HEIGHT:
            deviations = [r.scene.statistics(entry.name)["std"] for r in regions]
            scale = float(np.mean(deviations)) / unit or 1.0
            entries.append(entry.model_copy(update={"scale": scale}))
        else:
            entries.append(entry)
    return entries


def _measure_heights(chips: TrainingChips, quiet: bool) -> tuple[float, float]:
    """Return the height scale and the mean height of a hundred random chips.

    The scale is the mean over the chips of the standard deviation of the heights between their 5th
    and 95th percentile, as in DeepDEM.
    """
    recipe, contract, base = chips.recipe, chips.contract, chips.contract.base
    rng = np.random.default_rng(recipe.seed)
    deviations, means = [], []
    with progress("height scale", _CHIPS, quiet=quiet, unit="chips", passing=True) as advance:
        for _ in range(_CHIPS):
            region, inputs, truth = chips.draw(rng)
            plane = next(p for p in truth if np.isfinite(p).any())
            if base is not None and has_data(inputs, contract, base):
                plane = inputs[contract.names.index(base)]
            heights = plane[np.isfinite(plane)].astype(np.float64)
            low, high = np.percentile(heights, (5, 95))
            deviation = float(heights[(heights >= low) & (heights <= high)].std())
            if recipe.heights.unit == "pixels":
                deviation /= chips.regions[region].scene.pixel_size
            deviations.append(deviation)
            means.append(float(heights.mean()))
            advance()
    offset = 0.0 if base is not None or contract.relative else float(np.mean(means))
    return recipe.heights.scale or max(float(np.mean(deviations)), 1e-3), offset
