"""Chips: square windows of scenes with their truth, drawn at random or tiled over regions."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.errors import DataError
from demiurge.layers import PRIOR, Kind, layer
from demiurge.model.contract import Contract
from demiurge.model.encoded import Encoded
from demiurge.progress import Advance, progress
from demiurge.scene.camera import Direction
from demiurge.scene.grid import Window
from demiurge.training.augment import augment, coarse_prior
from demiurge.training.light import lit_alike, suns_of, turned, varied
from demiurge.training.recipe import Recipe
from demiurge.training.split import Region

Item = dict[str, Array]

_TRIES = 50
#: Minimum standard deviation in metres that scaled heights are divided by.
_FLAT = 0.1


class _Chips:
    """Reads and encodes windows of regions.

    Parameters
    ----------
    regions
        Parts of scenes that windows are taken from.
    recipe
        Names the truth layers.
    contract
        Encodes the windows.
    """

    def __init__(self, regions: Sequence[Region], recipe: Recipe, contract: Contract) -> None:
        self.regions, self.recipe, self.contract = list(regions), recipe, contract
        self._normals = [contract.normals(region.scene) for region in regions]
        self._suns = suns_of(regions) if contract.sun else [None] * len(regions)

    def _read(self, region: int, window: Window) -> tuple[Array, Array]:
        """Return inputs and truth (layers, height, width), NaN for no data."""
        scene = self.regions[region].scene
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

    def _has_base(self, inputs: Array) -> bool:
        """Return whether the base has data, or is not required."""
        base = self.contract.base
        return base not in self.contract.required or has_data(inputs, self.contract, base)

    def _encoded(self, region: int, inputs: Array, sun: Direction | None) -> Encoded:
        gsd = self.regions[region].scene.pixel_size
        return self._contract_for(inputs).encode(inputs, gsd, self._normals[region], sun)

    def _contract_for(self, inputs: Array) -> Contract:
        """Return the contract without its base if the base has no data."""
        base = self.contract.base
        if base is not None and not has_data(inputs, self.contract, base):
            return self.contract.suited(())
        return self.contract

    def _item(self, region: int, inputs: Array, truth: Array, sun: Direction | None) -> Item:
        contract, encoded = self._contract_for(inputs), self._encoded(region, inputs, sun)
        known = np.isfinite(truth)
        if self.recipe.heights.scaled:
            return _scaled(encoded.planes, truth, known)
        offset = np.float32(0 if contract.base else contract.heights.offset)
        if contract.relative and known.any():
            offset = np.float32(truth[known].mean(dtype=np.float64))
        unit = np.float32(encoded.unit)
        corrections = (truth - encoded.starts - offset) / unit
        item = {
            "planes": encoded.planes,
            "truth": np.where(known, corrections, np.float32(0)),
            "known": known.astype(np.float32),
            "unit": unit.reshape(1),
            "relative": np.full((1, 1, 1), contract.relative, np.float32),
        }
        targets = self.contract.targets
        if set(targets) == {"dsm", "dtm"}:
            surface, earth = (encoded.starts[targets.index(t)] for t in ("dsm", "dtm"))
            item["gap"] = (surface - earth)[None] / unit
        return item


class TrainingChips(_Chips):
    """Randomly drawn and augmented chips, as a map-style data set of one epoch.

    An item depends only on its index, ``epoch`` and the recipe's seed. It holds

    - ``planes`` (channels, size, size): input of the network;
    - ``truth`` (targets, size, size): true corrections in the unit of the network, 0 where unknown;
    - ``known`` (targets, size, size): 1 where the truth is known;
    - ``unit`` (1,): metres of one unit;
    - ``relative`` (1, 1, 1): 1 if the heights are known up to an offset;
    - ``gap`` (1, size, size), with both targets: start of the DSM less that of the DTM, in units.

    With the sun as an input, items are turned to its canonical side; that of training varies.
    """

    def __init__(self, regions: Sequence[Region], recipe: Recipe, contract: Contract) -> None:
        super().__init__(regions, recipe, contract)
        self.epoch = 0
        areas = np.array([r.window.height * r.window.width for r in regions], float)
        weights = areas if recipe.chips.draw == "area" else np.ones(len(regions))
        self._probabilities = weights / weights.sum()

    def __len__(self) -> int:
        return self.recipe.chips.per_epoch

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.recipe.seed, self.epoch, index))
        region, inputs, truth = self.draw(rng)
        self._replace_layers(region, inputs, truth, rng)
        (inputs, truth), sun = turned(varied(self._suns[region], rng), inputs, truth)
        inputs, truth = augment(inputs, truth, self.contract.names, self.recipe, rng)
        return self._item(region, inputs, truth, sun)

    def draw(self, rng: np.random.Generator) -> tuple[int, Array, Array]:
        """Draw a chip with enough truth: index of its region, inputs and truth.

        Raises
        ------
        DataError
            If 50 random chips have too little truth.
        """
        size, least = self.recipe.chips.size, self.recipe.chips.min_truth
        for _ in range(_TRIES):
            region = int(rng.choice(len(self.regions), p=self._probabilities))
            area = self.regions[region].window
            row = area.row + int(rng.integers(area.height - size + 1))
            col = area.col + int(rng.integers(area.width - size + 1))
            inputs, truth = self._read(region, Window(row, col, size, size))
            known = np.isfinite(truth).any(axis=0)
            if known.any() and known.mean() >= least and self._has_base(inputs):
                return region, inputs, truth
        raise DataError(
            f"no chip with {least:.0%} of known truth was found in {_TRIES} tries",
            "lower chips.min_truth, or crop the scenes to where the truth is",
        )

    def _replace_layers(
        self, region: int, inputs: Array, truth: Array, rng: np.random.Generator
    ) -> None:
        """Replace the prior by one made from the truth, or the images by those of another place."""
        settings, names = self.recipe.augment, self.contract.names
        gsd = self.regions[region].scene.pixel_size
        if rng.random() < settings.made_priors and PRIOR in names and np.isfinite(truth[0]).any():
            inputs[names.index(PRIOR)] = coarse_prior(truth[0], gsd, rng)
        if rng.random() < settings.foreign_images:
            other, images, _ = self.draw(rng)
            images = lit_alike(images, self._suns[other], self._suns[region])
            for index, name in enumerate(names):
                if layer(name).kind is Kind.IMAGE:
                    # Mean and standard deviation are changed to those of this scene.
                    (offset, scale), (mean, deviation) = (
                        self._normals[r].get(name, (0.0, 1.0)) for r in (other, region)
                    )
                    image = images[index] - np.float32(offset)
                    inputs[index] = image * np.float32(deviation / scale)
                    inputs[index] += np.float32(mean)


class ValidationChips(_Chips):
    """Regions tiled into windows, as a map-style data set; items as of :class:`TrainingChips`.

    All regions are read once. A mask of known truth and base heights is kept, two bits per pixel,
    so that :meth:`tiled` needs no second read.

    Raises
    ------
    DataError
        If no window of a chip's size has enough truth.
    """

    def __init__(
        self, regions: Sequence[Region], recipe: Recipe, contract: Contract, *, quiet: bool = True
    ) -> None:
        super().__init__(regions, recipe, contract)
        self._windows: list[tuple[int, Window]] = []
        self._overlaps: list[tuple[int, int]] = []
        self._coverage: list[_Coverage] = []
        relief: dict[tuple[int, Window], float] = {}
        total = sum(r.window.height * r.window.width for r in self.regions) / 1e6
        with progress("validation chips", total, quiet=quiet, unit="Mpx", passing=True) as advance:
            for index, region in enumerate(self.regions):
                windows = self._grid(region.window, recipe.chips.size)
                self._coverage.append(self._cover(index, windows, relief, advance))
        self._tile(recipe.chips.size, recipe.chips.min_truth)
        if not self._windows:
            raise DataError(
                "the validation places hold no chip with enough truth",
                "lower chips.min_truth, or give scenes with more truth",
            )
        self._example = max(self._windows, key=lambda window: relief[window])

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Item:
        region, window = self._windows[index]
        (inputs, truth), sun = turned(self._suns[region], *self._read(region, window))
        return self._item(region, inputs, truth, sun)

    def without_base(self) -> ValidationChips:
        """Return the same chips with an optional base withheld."""
        other = copy.copy(self)
        other.contract = self.contract.suited(())
        return other

    def tiled(self, side: int, *, complete: bool = False) -> ValidationChips:
        """Return the regions tiled into windows of another side, without reading them.

        Parameters
        ----------
        side
            Pixels. In a smaller region, the largest side that fits and that the network accepts.
        complete
            Keep every window with any known truth, not only those with ``min_truth`` of it.
        """
        other = copy.copy(self)
        other._tile(side, 0.0 if complete else self.recipe.chips.min_truth)
        if not other._windows:  # a larger window may have a smaller share of known truth
            other._tile(side, 0.0)
        return other

    def side(self, index: int) -> int:
        """Return the side in pixels of a window."""
        return self._windows[index][1].height

    def new_pixels(self, index: int) -> Array:
        """Return 1 where the pixels of a window are in no earlier window, else 0, as items lie.

        Returns
        -------
        float32 (side, side).
        """
        side, (row, col) = self.side(index), self._overlaps[index]
        new = np.zeros((side, side), np.float32)
        new[row:, col:] = 1
        (planes,), _ = turned(self._suns[self._windows[index][0]], new[None])
        return np.asarray(planes[0])

    def example(self) -> tuple[Encoded, Array, float]:
        """Return the chip with the greatest relief, encoded; its truth in metres; its GSD."""
        region, window = self._example
        (inputs, truth), sun = turned(self._suns[region], *self._read(region, window))
        gsd = self.regions[region].scene.pixel_size
        return self.contract.encode(inputs, gsd, self._normals[region], sun), truth, gsd

    def _grid(self, area: Window, side: int) -> list[list[Window]]:
        """Return rows of windows that cover an area; the last of each is moved inward."""
        unit = self.recipe.network.multiple
        size = min(side, min(area.height, area.width) // unit * unit)
        columns = _starts(area.col, area.width, size)
        return [
            [Window(row, col, size, size) for col in columns]
            for row in _starts(area.row, area.height, size)
        ]

    def _cover(
        self,
        region: int,
        windows: list[list[Window]],
        relief: dict[tuple[int, Window], float],
        advance: Advance,
    ) -> _Coverage:
        """Read a region; store the relief of each window."""
        coverage = _Coverage(self.regions[region].window)
        for row in windows:
            strip = np.zeros((2, row[0].height, coverage.area.width), bool)
            for window in row:
                inputs, truth = self._read(region, window)
                left = window.col - coverage.area.col
                here = strip[..., left : left + window.width]
                here[0] = np.isfinite(truth).any(axis=0)
                here[1] = self._base_mask(inputs)
                relief[region, window] = _relief(truth)
                advance(window.height * window.width / 1e6)
            coverage.store(row[0].row, strip)
        return coverage

    def _base_mask(self, inputs: Array) -> Mask:
        """Return where the base has data; everywhere if it is not required."""
        base = self.contract.base
        if base is None or base not in self.contract.required:
            return np.ones(inputs.shape[1:], bool)
        return np.asarray(np.isfinite(inputs[self.contract.names.index(base)]))

    def _tile(self, side: int, least: float) -> None:
        """Select windows with at least a share of known truth, and at least one known pixel."""
        self._windows, self._overlaps = [], []
        for index, (region, coverage) in enumerate(zip(self.regions, self._coverage, strict=True)):
            area = region.window
            for window in (w for row in self._grid(area, side) for w in row):
                truth, base = coverage.shares(window)
                if truth > 0 and truth >= least and base > 0:
                    self._windows.append((index, window))
                    size = window.height
                    overlap = -(window.row - area.row) % size, -(window.col - area.col) % size
                    self._overlaps.append(overlap)


class _Coverage:
    """Where a region has truth and base heights: two masks, eight pixels per byte."""

    def __init__(self, area: Window) -> None:
        self.area = area
        self._bits = np.zeros((2, area.height, -(-area.width // 8)), np.uint8)

    def store(self, row: int, strip: Mask) -> None:
        """Store full-width rows from row ``row`` of the scene on."""
        top = row - self.area.row
        self._bits[:, top : top + strip.shape[1]] = np.packbits(strip, axis=-1)

    def shares(self, window: Window) -> tuple[float, float]:
        """Return the shares of a window with truth and with base heights."""
        top, left = window.row - self.area.row, window.col - self.area.col
        first, last = left // 8, -(-(left + window.width) // 8)
        bits = np.unpackbits(self._bits[:, top : top + window.height, first:last], axis=-1)
        inside = bits[..., left - 8 * first : left - 8 * first + window.width]
        truth, base = inside.mean(axis=(1, 2), dtype=np.float64).tolist()
        return truth, base


def _scaled(planes: Array, truth: Array, known: Mask) -> Item:
    """Return an item whose truth has zero mean and unit standard deviation."""
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


def has_data(inputs: Array, contract: Contract, name: str) -> bool:
    """Return whether a layer of (layers, height, width) inputs has any data."""
    return bool(np.isfinite(inputs[contract.names.index(name)]).any())


def _relief(truth: Array) -> float:
    """Return the standard deviation of the known truth times its share."""
    known: npt.NDArray[np.float32] = truth[np.isfinite(truth)]
    return float(known.std()) * known.size / truth.size if known.size else 0.0


def _starts(first: int, length: int, size: int) -> list[int]:
    starts = list(range(first, first + length - size + 1, size))
    if starts[-1] + size < first + length:
        starts.append(first + length - size)
    return starts
