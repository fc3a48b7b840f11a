"""Tiled inference: read and encode windows, run the network, decode its outputs, blend the rows.

Every use of a network goes through :class:`Network`: predicting a scene, assessing it at reduced
resolution, and validating a new bundle.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.layers import PRIOR, Kind
from demiurge.model.backend.base import Runtime
from demiurge.model.bundle import Bundle
from demiurge.model.contract import Contract
from demiurge.model.encoded import Encoded
from demiurge.predict.heights.adjustment import Adjustment
from demiurge.predict.heights.coarse import CoarsePass
from demiurge.predict.heights.prior import PriorConstraint
from demiurge.predict.tiling import Blender, Tiling, taper
from demiurge.progress import Advance, silent
from demiurge.raster.orientation import ORIENTATIONS, Orientation
from demiurge.raster.voids import enclosed
from demiurge.scene.camera import Direction
from demiurge.scene.grid import Window, full_window, grown
from demiurge.scene.scene import Scene
from demiurge.threads import map_ordered

#: Threads that read windows.
_READERS = 2
#: Pixels of windows that are read ahead, and the minimum number of windows.
_AHEAD_PIXELS, _AHEAD_WINDOWS = 4 * 512**2, 3
#: Windows after which the memory of mapped files is released.
_RELEASE = 8


@dataclass(frozen=True)
class EncodedWindow:
    """A window of a scene, read and encoded.

    Attributes
    ----------
    window
        Position in the raster.
    encoded
        Input of the network; None if the window holds no usable data.
    valid
        bool (window.height, window.width): pixels that receive a height.
    base_measured
        bool (size, size): pixels where the base was measured, padding included; where any layer
        was measured if the contract has no base.
    outliers
        float32 (window.height, window.width): heights of gross outliers, which are encoded as
        voids, NaN elsewhere; None without outliers.
    """

    window: Window
    encoded: Encoded | None
    valid: Mask
    base_measured: Mask
    outliers: Array | None = None

    @property
    def measured(self) -> Mask:
        """Return bool (window.height, window.width): pixels where the base was measured."""
        return self.base_measured[: self.window.height, : self.window.width]


@dataclass(frozen=True)
class Network:
    """The network of a bundle, ready to run.

    Attributes
    ----------
    bundle
        Its contract encodes layers and decodes outputs.
    runtime
        Runs the graph on windows of one size.
    orientations
        Orientations of each window for test-time augmentation, or the canonical one of the sun.
    in_flight
        Windows processed concurrently; does not change the result.
    sun
        Direction to the sun, if the contract has it.
    """

    bundle: Bundle
    runtime: Runtime
    orientations: tuple[Orientation, ...] = ORIENTATIONS[1]
    in_flight: int = 4
    sun: Direction | None = None

    @property
    def contract(self) -> Contract:
        """Return the contract of the bundle."""
        return self.bundle.contract

    def outputs(self, planes: Iterable[Array]) -> Iterator[list[Array]]:
        """Run the graph on encoded planes, in order.

        Parameters
        ----------
        planes
            float32 (channels, size, size) each.

        Yields
        ------
        The raw outputs of each window, float32 (outputs, size, size), one for each orientation.
        """
        oriented = (o.apply(one) for one in planes for o in self.orientations)
        results = self.runtime.run(oriented, self.in_flight)
        for first in results:
            group = [first, *(next(results) for _ in self.orientations[1:])]
            yield [o.undo(one) for o, one in zip(self.orientations, group, strict=True)]

    def decode(self, encoded: Encoded, outputs: list[Array]) -> Array:
        """Return the mean over the orientations of a window's heights, and their uncertainties.

        The uncertainty is the root of the mean predicted variance plus the variance between the
        orientations.

        Returns
        -------
        float32 (outputs, size, size) in metres.
        """
        decoded = [self.contract.decode(np.ascontiguousarray(one), encoded) for one in outputs]
        if len(decoded) == 1:
            return decoded[0]
        count = len(self.contract.targets)
        stacked = np.stack(decoded)
        heights = stacked[:, :count].mean(axis=0)
        if not self.contract.uncertainty:
            return np.asarray(heights, np.float32)
        variance = np.square(stacked[:, count:]).mean(axis=0) + stacked[:, :count].var(axis=0)
        return np.concatenate([heights, np.sqrt(variance)]).astype(np.float32)

    def predict(self, encoded: Encoded) -> Array:
        """Return heights and uncertainties of one window, as :meth:`decode`."""
        (outputs,) = self.outputs([encoded.planes])
        return self.decode(encoded, outputs)

    def predict_all(
        self, windows: Iterable[EncodedWindow]
    ) -> Iterator[tuple[EncodedWindow, Array | None]]:
        """Yield every window in order, with its result as :meth:`decode`; None if it is empty."""
        waiting: deque[EncodedWindow] = deque()

        def planes() -> Iterator[Array]:
            for window in windows:
                waiting.append(window)
                if window.encoded is not None:
                    yield window.encoded.planes

        for outputs in self.outputs(planes()):
            while waiting[0].encoded is None:
                yield waiting.popleft(), None
            window = waiting.popleft()
            assert window.encoded is not None
            yield window, self.decode(window.encoded, outputs)
        while waiting:
            yield waiting.popleft(), None


@dataclass(frozen=True)
class Rows:
    """Finished rows of an area, over its full width.

    Attributes
    ----------
    top
        First row in the raster.
    values
        float32 (planes, rows, width): heights of the targets in metres, then their uncertainties;
        NaN for no data.
    measured
        bool (rows, width): pixels where the base was measured.
    outliers
        bool (rows, width): pixels where the base was a gross outlier, treated as void.
    """

    top: int
    values: Array
    measured: Mask
    outliers: Mask


def predict_rows(
    scene: Scene,
    network: Network,
    tiling: Tiling,
    *,
    area: Window | None = None,
    keep_voids: bool = False,
    adjustment: Adjustment | None = None,
    coarse: CoarsePass | None = None,
    prior: PriorConstraint | None = None,
    advance: Advance = silent,
) -> Iterator[Rows]:
    """Predict an area of a scene and yield finished rows from north to south.

    Parameters
    ----------
    scene
        Must hold the layers that the contract requires.
    area
        Part of the raster; None for all of it. Pixels do not depend on the area.
    keep_voids
        Leave NaN where the base was not measured.
    adjustment, coarse, prior
        Adjustment of relative heights, or their wide forms; constraint to the prior, where that is
        the base.
    """
    area = full_window(scene.grid) if area is None else area
    tiling = tiling.touching(area)
    contract = network.contract
    blender = Blender(area, tiling.size, contract.outputs)
    weights = taper(tiling.size, tiling.overlap)
    predicted = predict_windows(scene, network, tiling, keep_voids=keep_voids)
    top = area.row
    for row, below in zip(tiling.rows, (*tiling.rows[1:], scene.shape[0]), strict=True):
        for index, _ in enumerate(tiling.columns):
            item, values = next(predicted)
            window, outliers = item.window, item.outliers
            if values is not None:
                values = _constrained(item, values, contract, adjustment, coarse, prior)
                here = weights[: window.height, : window.width]
                if not item.valid.all():
                    here = here * item.valid
                blender.add(window, values[:, : window.height, : window.width], here)
            blender.note(window, item.measured, None if outliers is None else np.isfinite(outliers))
            if index % _RELEASE == 0:
                scene.release()
            advance(window.height * window.width / 1e6)
        done, *masks = blender.take(below)
        if done.shape[1]:
            yield Rows(top, done, *masks)
            top += done.shape[1]
        del done, masks, row


def _constrained(
    item: EncodedWindow,
    values: Array,
    contract: Contract,
    adjustment: Adjustment | None,
    coarse: CoarsePass | None,
    prior: PriorConstraint | None,
) -> Array:
    """Apply outliers, block adjustment, coarse pass and prior constraint to a window's heights."""
    count, window = len(contract.targets), item.window
    if item.outliers is not None:
        _widen_at_outliers(values, item.outliers, contract)
    if adjustment is not None:
        values = adjustment.apply(window.row, window.col, values, count)
    if coarse is not None:
        values = coarse.apply(window, item.valid, values, count)
    if prior is not None and item.encoded is not None:
        values = prior.apply(window, item.encoded.base, item.base_measured, values, count)
    return values


def _widen_at_outliers(values: Array, outliers: Array, contract: Contract) -> None:
    """Raise the uncertainty of the base at outliers to their distance from it, in place."""
    targets = [str(target) for target in contract.targets]
    if contract.base not in targets or not contract.uncertainty:
        return
    index, (height, width) = targets.index(contract.base), outliers.shape
    uncertainty = values[len(targets) + index, :height, :width]
    np.fmax(uncertainty, np.abs(outliers - values[index, :height, :width]), out=uncertainty)


def predict_windows(
    scene: Scene, network: Network, tiling: Tiling, *, keep_voids: bool = False
) -> Iterator[tuple[EncodedWindow, Array | None]]:
    """Read, encode and predict every window of a tiling, in order.

    Yields
    ------
    The window, and float32 (planes, size, size) heights and uncertainties; None if the window
    holds no usable data.
    """
    yield from network.predict_all(_read_ahead(scene, network, tiling, keep_voids))


def _read_ahead(
    scene: Scene, network: Network, tiling: Tiling, keep_voids: bool
) -> Iterator[EncodedWindow]:
    """Read and encode windows in threads, a few ahead of their use, and yield them in order."""
    contract, batch = network.contract, network.runtime.batch
    normals = contract.normals(scene)
    ahead = min(8, max(_AHEAD_WINDOWS, _AHEAD_PIXELS // tiling.size**2))
    readers = _READERS
    if batch > 1:
        ahead, readers = max(ahead, 2 * batch), max(readers, min(16, os.cpu_count() or 1))

    def read(window: Window) -> EncodedWindow:
        return _read_window(scene, network, window, tiling.size, normals, keep_voids)

    windows = (tiling.window(row, column) for row in tiling.rows for column in tiling.columns)
    yield from map_ordered(read, windows, readers, ahead=ahead - 1)


def _read_window(
    scene: Scene,
    network: Network,
    window: Window,
    size: int,
    normals: Mapping[str, tuple[float, float]],
    keep_voids: bool,
) -> EncodedWindow:
    """Read and encode one window, padded by reflection to ``size`` pixels a side."""
    contract = network.contract
    names = [n for n in contract.names if n in scene.layers]
    layers = scene.read(window, names)
    layers, outliers = _without_outliers(scene, contract, window, layers, names)
    shape = (len(contract.names), size, size)
    square = layers
    if layers.shape != shape:
        padding = ((0, 0), (0, size - window.height), (0, size - window.width))
        square = np.full(shape, np.nan, np.float32)
        square[[contract.names.index(n) for n in names]] = np.pad(layers, padding, mode="symmetric")
    data = [i for i, entry in enumerate(contract.layers) if entry.kind is not Kind.MASK]
    any_layer = np.asarray(np.isfinite(square[data]).any(axis=0))
    base = any_layer
    if contract.base is not None:
        base = np.asarray(np.isfinite(square[contract.names.index(contract.base)]))
    known, measured = (m[: window.height, : window.width] for m in (any_layer, base))
    valid = _valid(scene, contract, window, known, measured, size // 4, keep_voids)
    encoded = None
    if valid.any() and measured.any():
        encoded = contract.encode(square, scene.pixel_size, normals, network.sun)
    return EncodedWindow(window, encoded, valid, base, outliers)


def _without_outliers(
    scene: Scene, contract: Contract, window: Window, layers: Array, names: list[str]
) -> tuple[Array, Array | None]:
    """Return layers with gross outliers of a stereo DSM as voids, and the outliers' heights."""
    if contract.base != "dsm" or contract.base not in names:
        return layers, None
    index = names.index(contract.base)
    outliers = scene.outliers(contract.base, window, layers[index])
    if outliers is None:
        return layers, None
    heights = np.where(outliers, layers[index], np.float32(np.nan))
    layers = layers.copy()
    layers[index][outliers] = np.nan
    return layers, heights


def _valid(
    scene: Scene,
    contract: Contract,
    window: Window,
    known: Mask,
    measured: Mask,
    halo: int,
    keep_voids: bool,
) -> Mask:
    """Return bool (window.height, window.width): pixels that receive a height.

    These are pixels where any layer has data, and voids of the base that measured heights enclose;
    with ``keep_voids`` only pixels where the base was measured. With a coarse prior as the base,
    an image alone is insufficient.
    """
    if contract.base is None:
        return known
    if keep_voids:
        return measured
    if measured.all() or (known.all() and contract.base != PRIOR):
        return known
    wide = grown(window, 2 * halo, scene.shape)
    closed = enclosed(np.isfinite(scene.read(wide, [contract.base])[0]), halo)
    row, col = window.row - wide.row, window.col - wide.col
    inside = closed[row : row + window.height, col : col + window.width]
    return np.asarray((measured if contract.base == PRIOR else known) | inside)
