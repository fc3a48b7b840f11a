"""Chips: square pieces of scenes with their truth, drawn at random or laid out in a grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import PANCHROMATIC, PRIOR, Kind, layer
from demiurge.model.contract import Contract, Encoded, Heights, InputLayer
from demiurge.progress import Advance, progress
from demiurge.scene.grid import Window
from demiurge.training.augment import augment
from demiurge.training.priors import made_prior
from demiurge.training.recipe import Recipe
from demiurge.training.split import Region

Item = dict[str, Array]

_TRIES = 50
#: Chips that the height scale is measured on.
_SCALED_BY = 100
#: Metres of spread below which a chip is as good as flat.
_FLAT = 0.1


class ChipDataset:
    """A map-style data set; each item depends on its index, the epoch and the seed alone.

    Items hold ``planes`` (channels, size, size) as the network sees them, ``truth``
    (targets, size, size) as corrections in the network's unit, ``known`` 1 where the truth is,
    ``unit``, the metres of one unit, and ``relative``, 1 where no base tells the level; with
    both targets also ``gap``, by how many units the start of the surface lies above that of the
    bare earth.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        recipe: Recipe,
        contract: Contract,
        *,
        training: bool,
        quiet: bool = True,
    ) -> None:
        self.regions, self.recipe, self.contract = list(regions), recipe, contract
        self.training = training
        self.epoch = 0
        self._normals = [contract.normals(region.scene) for region in regions]
        areas = np.array([r.window.height * r.window.width for r in regions], float)
        self._chances = areas / areas.sum()
        self._grid: list[tuple[int, Window]] = []
        self._new: list[tuple[int, int]] = []
        if not training:
            self._layout(recipe.chips.size, recipe.chips.min_truth, quiet=quiet)
        self._telling: tuple[int, Window] | None = None
        if not training and not self._grid:
            raise DataError(
                "the validation places hold no chip with enough truth",
                "lower chips.min_truth, or give scenes with more truth",
            )

    def __len__(self) -> int:
        return self.recipe.chips.per_epoch if self.training else len(self._grid)

    def __getitem__(self, index: int) -> Item:
        if not self.training:
            place, window = self._grid[index]
            return self._item(place, *self._read(place, window))
        rng = np.random.default_rng((self.recipe.seed, self.epoch, index))
        place, inputs, truth = self.draw(rng)
        self._exchange(place, inputs, truth, rng)
        inputs, truth = augment(inputs, truth, self.contract.names, self.recipe, rng)
        return self._item(place, inputs, truth)

    def without_base(self) -> ChipDataset:
        """Return the same chips with an optional base withheld."""
        other = copy.copy(self)
        other.contract = self.contract.suited(())
        return other

    def tiled(self, side: int, *, complete: bool = False) -> ChipDataset:
        """Return the validation places laid out in windows of another side.

        Parameters
        ----------
        side
            Pixels. A place that is smaller gets the largest windows that fit into it and that the
            network can take.
        complete
            Keep every window with any known truth, not only those with ``min_truth`` of it.
        """
        other = copy.copy(self)
        other._grid, other._new = [], []
        other._layout(side, 0.0 if complete else self.recipe.chips.min_truth)
        if not other._grid:  # what suffices for a chip may not for a larger window
            other._layout(side, 0.0)
        return other

    def side(self, index: int) -> int:
        """Return the side in pixels of a validation window."""
        return self._grid[index][1].height

    def new(self, index: int) -> Array:
        """Return 1 where a validation window's pixels are in no window before it, else 0.

        Returns
        -------
        float32 (side, side).
        """
        side, (row, col) = self.side(index), self._new[index]
        found = np.zeros((side, side), np.float32)
        found[row:, col:] = 1
        return found

    def _exchange(self, place: int, inputs: Array, truth: Array, rng: np.random.Generator) -> None:
        """Put another prior, or images of another place, in a chip."""
        settings, names = self.recipe.augment, self.contract.names
        scene = self.regions[place].scene
        if rng.random() < settings.made_priors and PRIOR in names and np.isfinite(truth[0]).any():
            inputs[names.index(PRIOR)] = made_prior(truth[0], scene.pixel_size, rng)
        if rng.random() < settings.foreign_images:
            there, others, _ = self.draw(rng)
            for index, name in enumerate(names):
                if layer(name).kind is Kind.IMAGE:
                    # As bright and as varied in its own scene as it was in the other.
                    (offset, scale), (to, by) = (
                        self._normals[p].get(name, (0.0, 1.0)) for p in (there, place)
                    )
                    inputs[index] = (others[index] - np.float32(offset)) * np.float32(by / scale)
                    inputs[index] += np.float32(to)

    @property
    def telling(self) -> tuple[int, Window]:
        """Return the place and window of the validation chip with the greatest relief."""
        if self._telling is None:
            relief = [_relief(self._read(*chip)[1]) for chip in self._grid]
            self._telling = self._grid[int(np.argmax(relief))]
        return self._telling

    def shown(self) -> tuple[Encoded, Array]:
        """Return the telling chip as the network sees it, and its truth in metres."""
        place, window = self.telling
        inputs, truth = self._read(place, window)
        scene = self.regions[place].scene
        return self.contract.encode(inputs, scene.pixel_size, self._normals[place]), truth

    def draw(self, rng: np.random.Generator) -> tuple[int, Array, Array]:
        """Draw a chip with enough truth: its region, inputs and truth, NaN for no data.

        Raises
        ------
        DataError
            If none is found.
        """
        size = self.recipe.chips.size
        for _ in range(_TRIES):
            place = int(rng.choice(len(self.regions), p=self._chances))
            area = self.regions[place].window
            row = area.row + int(rng.integers(area.height - size + 1))
            col = area.col + int(rng.integers(area.width - size + 1))
            inputs, truth = self._read(place, Window(row, col, size, size))
            if self._enough(inputs, truth):
                return place, inputs, truth
        raise DataError(
            f"no chip with {self.recipe.chips.min_truth:.0%} of known truth was found in "
            f"{_TRIES} tries",
            "lower chips.min_truth, or crop the scenes to where the truth is",
        )

    def _layout(self, side: int, least: float, *, quiet: bool = True) -> None:
        """Lay the regions out in windows, the last of a row or column pushed inward.

        Parameters
        ----------
        side
            Pixels; less in regions that are smaller.
        least
            Share of a window with known truth; at least a pixel is needed.
        """
        total = sum(r.window.height * r.window.width for r in self.regions) / 1e6
        with progress("validation chips", total, quiet=quiet, unit="Mpx", passing=True) as advance:
            for place, region in enumerate(self.regions):
                self._lay_out(place, region.window, side, least, advance)

    def _lay_out(self, place: int, area: Window, side: int, least: float, advance: Advance) -> None:
        """Lay out one region."""
        unit = self.recipe.network.multiple
        size = min(side, min(area.height, area.width) // unit * unit)
        for row in _starts(area.row, area.height, size):
            for col in _starts(area.col, area.width, size):
                window = Window(row, col, size, size)
                if self._enough(*self._read(place, window), least):
                    self._grid.append((place, window))
                    self._new.append((-(row - area.row) % size, -(col - area.col) % size))
                advance(size * size / 1e6)

    def _enough(self, inputs: Array, truth: Array, least: float | None = None) -> bool:
        least = self.recipe.chips.min_truth if least is None else least
        known = np.isfinite(truth).any(axis=0)
        if not known.any() or known.mean() < least:
            return False
        base = self.contract.base
        return base not in self.contract.required or _has(inputs, self.contract, base)

    def _read(self, place: int, window: Window) -> tuple[Array, Array]:
        scene = self.regions[place].scene
        withheld = self.recipe.base if self.contract.base is None else None
        have = [n for n in self.contract.names if n in scene.layers and n != withheld]
        truths = [n for n in self.recipe.truths if n in scene.layers]
        data = scene.read(window, [*have, *truths])
        truth = np.full((len(self.recipe.truths), *data.shape[1:]), np.nan, np.float32)
        for name, plane in zip(truths, data[len(have) :], strict=True):
            truth[self.recipe.truths.index(name)] = plane
        inputs = np.full((len(self.contract.names), *data.shape[1:]), np.nan, np.float32)
        for name, plane in zip(have, data[: len(have)], strict=True):
            inputs[self.contract.names.index(name)] = plane
        if "dsm" in have:
            heights = inputs[self.contract.names.index("dsm")]
            outliers = scene.outliers("dsm", window, heights)
            if outliers is not None:
                heights[outliers] = np.nan
        return inputs, truth

    def _item(self, place: int, inputs: Array, truth: Array) -> Item:
        contract, base = self.contract, self.contract.base
        if base is not None and not _has(inputs, contract, base):
            contract = contract.suited(())
        encoded = contract.encode(
            inputs, self.regions[place].scene.pixel_size, self._normals[place]
        )
        known = np.isfinite(truth)
        if self.recipe.heights.scaled:
            return _scaled(encoded.planes, truth, known)
        offset = np.float32(0 if contract.base else contract.heights.offset)
        if contract.relative and known.any():
            offset = np.float32(truth[known].mean(dtype=np.float64))
        unit = np.float32(encoded.unit)
        wanted = (truth - encoded.starts - offset) / unit
        item = {
            "planes": encoded.planes,
            "truth": np.where(known, wanted, np.float32(0)),
            "known": known.astype(np.float32),
            "unit": unit.reshape(1),
            "relative": np.full((1, 1, 1), contract.relative, np.float32),
        }
        targets = self.contract.targets
        if set(targets) == {"dsm", "dtm"}:
            surface, earth = (encoded.starts[targets.index(t)] for t in ("dsm", "dtm"))
            item["gap"] = (surface - earth)[None] / unit
        return item


def _scaled(planes: Array, truth: Array, known: npt.NDArray[np.bool_]) -> Item:
    """Return a chip whose truth is in units of its own spread."""
    heights = truth[known].astype(np.float64)
    unit = max(float(heights.std()), _FLAT) if heights.size else 1.0
    middle = float(heights.mean()) if heights.size else 0.0
    return {
        "planes": planes,
        "truth": np.where(known, (truth - middle) / unit, 0).astype(np.float32),
        "known": known.astype(np.float32),
        "unit": np.full(1, unit, np.float32),
        "relative": np.ones((1, 1, 1), np.float32),
    }


def _has(inputs: Array, contract: Contract, name: str) -> bool:
    return bool(np.isfinite(inputs[contract.names.index(name)]).any())


def _relief(truth: Array) -> float:
    known = truth[np.isfinite(truth)]
    return float(known.std()) * known.size / truth.size if known.size else 0.0


def _starts(first: int, length: int, size: int) -> list[int]:
    starts = list(range(first, first + length - size + 1, size))
    if starts[-1] + size < first + length:
        starts.append(first + length - size)
    return starts


def make_contract(
    regions: Sequence[Region],
    recipe: Recipe,
    begin: Contract | None = None,
    *,
    quiet: bool = True,
) -> Contract:
    """Settle what the network sees from the training places alone.

    Parameters
    ----------
    begin
        Contract of the bundle that is trained on from: its units stay, and its layers too where
        no place has them.
    """
    kept = {} if begin is None else {entry.name: entry for entry in begin.layers if entry.optional}
    # A layer that no training place has would only be noise to a new network.
    here = {n for n in recipe.layers if any(n in r.scene.layers for r in regions)}
    names = [n for n in recipe.layers if n in here or n in kept]
    _survey(regions, [n for n in recipe.layers if n in here], quiet)
    entries = [_input(n, regions, recipe) if n in here else kept[n] for n in names]
    baseless = recipe.base in recipe.optional and recipe.base not in names
    draft = Contract(
        layers=entries,
        base=None if baseless else recipe.base,
        targets=recipe.targets,
        ground=recipe.ground,
        relief=[] if baseless else recipe.relief,
        local=recipe.local,
        relative=recipe.heights.relative or baseless,
        scaled=recipe.heights.scaled,
        uncertainty=recipe.losses.uncertainty > 0,
        shrink=recipe.shrink if recipe.losses.uncertainty and recipe.base in recipe.targets else 0,
        equalise=_equalised(regions, names),
    )
    if begin is not None and begin.heights.unit == recipe.heights.unit:
        return draft.model_copy(update={"heights": begin.heights})
    scale, offset = (
        (1.0, 0.0)
        if recipe.heights.scaled
        else _heights(ChipDataset(regions, recipe, draft, training=True), recipe, quiet)
    )
    if recipe.task == "imagine":
        draft = _with_relief(draft, regions, scale)
    heights = Heights(unit=recipe.heights.unit, scale=scale, offset=offset)
    return draft.model_copy(update={"heights": heights})


def _survey(regions: Sequence[Region], names: Sequence[str], quiet: bool) -> None:
    """Look at all images of each scene at once, so that its files are read once."""
    images = [n for n in names if layer(n).kind is Kind.IMAGE]
    scenes = list({id(r.scene): r.scene for r in regions}.values())
    with progress("look at", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for scene in scenes:
            scene.compute_statistics([n for n in images if n in scene.layers])
            advance()


def _equalised(regions: Sequence[Region], names: Sequence[str]) -> bool:
    """Tell whether the panchromatic images are equalised in all scenes; they must be alike."""
    found = {
        name in region.scene.equalised
        for region in regions
        for name in PANCHROMATIC
        if name in names and name in region.scene.sources
    }
    if len(found) == 2:
        raise DataError(
            "some scenes have equalised panchromatic images and some have not",
            "prepare all of them alike",
        )
    return found != {False}


def _input(name: str, regions: Sequence[Region], recipe: Recipe) -> InputLayer:
    kind = layer(name).kind
    optional = name in recipe.optional
    if kind in (Kind.HEIGHT, Kind.MASK, Kind.CLASS):
        return InputLayer(name=name, optional=optional)
    found = [r.scene.statistics(name) for r in regions if name in r.scene.layers]
    found = [s for s in found if s["measured"]]
    if not found:
        return InputLayer(name=name, optional=optional)
    mean = float(np.mean([s["mean"] for s in found]))
    # Spread within scenes and between them.
    spread = float(np.sqrt(np.mean([s["std"] ** 2 + (s["mean"] - mean) ** 2 for s in found])))
    return InputLayer(
        name=name,
        offset=mean,
        scale=spread or 1.0,
        normalise=recipe.images if kind is Kind.IMAGE else "bundle",
        optional=optional,
        grain=_grain(name, regions) if kind is Kind.IMAGE else None,
    )


def _grain(name: str, regions: Sequence[Region]) -> tuple[float, float] | None:
    scenes = {id(r.scene): r.scene for r in regions if name in r.scene.layers}
    found = [scene.grain(name) for scene in scenes.values()]
    known = [value for value in found if value is not None]
    return (round(min(known), 4), round(max(known), 4)) if known else None


def _with_relief(draft: Contract, regions: Sequence[Region], unit: float) -> Contract:
    """Let heights that no height is learned from be of about unit size too."""
    entries = []
    for entry in draft.layers:
        if entry.kind is Kind.HEIGHT:
            spreads = [r.scene.statistics(entry.name)["std"] for r in regions]
            scale = float(np.mean(spreads)) / unit or 1.0
            entries.append(entry.model_copy(update={"scale": scale}))
        else:
            entries.append(entry)
    return draft.model_copy(update={"layers": entries})


def _heights(chips: ChipDataset, recipe: Recipe, quiet: bool) -> tuple[float, float]:
    """Return the height scale and the mean height, from a hundred random chips.

    The scale is the mean standard deviation of the chips' heights between their 5th and 95th
    percentile, as in DeepDEM.
    """
    rng = np.random.default_rng(recipe.seed)
    contract, base = chips.contract, chips.contract.base
    spreads, means = [], []
    with progress("height scale", _SCALED_BY, quiet=quiet, unit="chips", passing=True) as advance:
        for _ in range(_SCALED_BY):
            place, inputs, truth = chips.draw(rng)
            plane = next(p for p in truth if np.isfinite(p).any())
            if base is not None and _has(inputs, contract, base):
                plane = inputs[contract.names.index(base)]
            heights = plane[np.isfinite(plane)].astype(np.float64)
            low, high = np.percentile(heights, (5, 95))
            spread = float(heights[(heights >= low) & (heights <= high)].std())
            if recipe.heights.unit == "pixels":
                spread /= chips.regions[place].scene.pixel_size
            spreads.append(spread)
            means.append(float(heights.mean()))
            advance()
    offset = 0.0 if base is not None or contract.relative else float(np.mean(means))
    return recipe.heights.scale or max(float(np.mean(spreads)), 1e-3), offset
