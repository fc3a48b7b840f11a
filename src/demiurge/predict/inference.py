"""The engine: windows are read ahead, answered, blended and handed on, row by row."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.layers import PRIOR, Kind
from demiurge.model.backend.base import Runtime
from demiurge.model.contract import Contract, Encoded
from demiurge.predict.augmentation import Orientation, gather
from demiurge.predict.blend import Blender
from demiurge.predict.heights.adjustment import Adjustment
from demiurge.predict.heights.prior import PriorConstraint
from demiurge.predict.tiling import Tiling, taper
from demiurge.progress import Advance, silent
from demiurge.raster.voids import enclosed
from demiurge.scene.grid import Window, full_window, grown
from demiurge.scene.outliers import outliers_in
from demiurge.scene.scene import Scene

_READERS = 2
#: Pixels of windows that are read ahead, and the fewest windows.
_AHEAD, _FEWEST = 4 * 512**2, 3
#: Windows after which memory that mapped files take is let go.
_RELEASE = 8


@dataclass(frozen=True)
class Rows:
    """Finished rows of an area, over all of its width.

    Attributes
    ----------
    top
        First row in the raster.
    values
        float32 (planes, rows, width): the targets' heights in metres, then their uncertainties;
        NaN where no input says anything.
    measured
        bool (rows, width): where the base was measured.
    outliers
        bool (rows, width): where it was a gross outlier and therefore taken for a void.
    """

    top: int
    values: Array
    measured: Mask
    outliers: Mask


@dataclass(frozen=True)
class Question:
    """A window read and encoded; without ``encoded`` it holds nothing to work from.

    Attributes
    ----------
    informed
        bool (window's height, its width): where an answer may stand.
    based
        bool (size, size): where the base was measured, also beyond the raster's end; where any
        layer was if the contract has no base.
    outliers
        float32 (window's height, its width): heights of gross outliers, which are voids to the
        network, NaN elsewhere; None if there are none.
    """

    window: Window
    encoded: Encoded | None
    informed: Mask
    based: Mask
    outliers: Array | None = None

    @property
    def measured(self) -> Mask:
        """Return where in the window the base was measured."""
        return self.based[: self.window.height, : self.window.width]


def predict_rows(
    scene: Scene,
    contract: Contract,
    runtime: Runtime,
    plan: Tiling,
    *,
    area: Window | None = None,
    in_flight: int = 4,
    turns: tuple[Orientation, ...] = (Orientation(),),
    keep_voids: bool = False,
    levels: Adjustment | None = None,
    tie: PriorConstraint | None = None,
    advance: Advance = silent,
) -> Iterator[Rows]:
    """Predict an area of a scene and yield finished rows from north to south.

    Parameters
    ----------
    scene
        Holds at least the layers that the contract requires.
    area
        The part of the raster that is wanted; all of it if None. Does not change the result.
    in_flight
        Windows worked on at a time; does not change the result.
    turns
        Turned and flipped copies of every window to ask; their mean is the answer.
    keep_voids
        Leave NaN where the base was not measured.
    levels
        What brings windows of relative heights to one level.
    tie
        What ties heights to a prior, where that is the base.
    """
    area = full_window(scene.grid) if area is None else area
    part = plan.touching(area)
    blender = Blender(area, plan.size, contract.outputs)
    weights = taper(plan.size, plan.overlap)
    answered = ask(scene, contract, runtime, part, in_flight, turns, keep_voids)
    top = area.row
    for row, below in zip(part.rows, (*part.rows[1:], scene.shape[0]), strict=True):
        for index, _ in enumerate(part.columns):
            question, values = next(answered)
            outliers = question.outliers
            if values is not None:
                if outliers is not None:
                    _doubt(values, outliers, contract)
                if levels is not None:
                    place = question.window.row, question.window.col
                    values = levels.apply(*place, values, len(contract.targets))
                if tie is not None and question.encoded is not None:
                    values = tie.apply(
                        question.window, question.encoded.base, question.based, values,
                        len(contract.targets),
                    )  # fmt: skip
                height, width = question.window.height, question.window.width
                here = weights[:height, :width]
                if not question.informed.all():
                    here = here * question.informed
                blender.add(question.window, values[:, :height, :width], here)
            where = None if outliers is None else np.isfinite(outliers)
            blender.note(question.window, question.measured, where)
            if index % _RELEASE == 0:
                scene.release()
            advance(question.window.height * question.window.width / 1e6)
        done, *noted = blender.take(below)
        if done.shape[1]:
            yield Rows(top, done, *noted)
            top += done.shape[1]
        del done, noted, row


def _doubt(values: Array, outliers: Array, contract: Contract) -> None:
    """Raise the uncertainty of the base at outliers to how far they lie off, in place."""
    targets = [str(target) for target in contract.targets]
    if contract.base not in targets or not contract.uncertainty:
        return
    index, (height, width) = targets.index(contract.base), outliers.shape
    spread = values[len(targets) + index, :height, :width]
    np.fmax(spread, np.abs(outliers - values[index, :height, :width]), out=spread)


def ask(
    scene: Scene,
    contract: Contract,
    runtime: Runtime,
    plan: Tiling,
    in_flight: int,
    turns: tuple[Orientation, ...] = (Orientation(),),
    keep_voids: bool = False,
) -> Iterator[tuple[Question, Array | None]]:
    """Yield every window of a plan in order, and what the network makes of it.

    Yields
    ------
    The window, and float32 (planes, size, size) heights and uncertainties, or None where there is
    nothing to work from.
    """
    questions = _read_ahead(scene, contract, plan, keep_voids, runtime.batch)
    yield from _answered(questions, contract, runtime, in_flight, turns)


def _answered(
    questions: Iterator[Question],
    contract: Contract,
    runtime: Runtime,
    in_flight: int,
    turns: tuple[Orientation, ...],
) -> Iterator[tuple[Question, Array | None]]:
    """Yield every question in order with what it means; None for those that ask nothing."""
    asked: deque[Question] = deque()

    def planes() -> Iterator[Array]:
        for question in questions:
            asked.append(question)
            if question.encoded is not None:
                for turn in turns:
                    yield turn.forth(question.encoded.planes)

    answers = runtime.run(planes(), in_flight)
    for first in answers:
        while asked[0].encoded is None:
            yield asked.popleft(), None
        question = asked.popleft()
        assert question.encoded is not None
        group = [first, *(next(answers) for _ in turns[1:])]
        yield question, gather(contract, question.encoded, group, turns)
    while asked:
        yield asked.popleft(), None


def _read_ahead(
    scene: Scene, contract: Contract, plan: Tiling, keep_voids: bool, batch: int
) -> Iterator[Question]:
    """Read and encode windows in threads, a few ahead of their use, and yield them in order."""
    names = [n for n in contract.names if n in scene.layers]
    places = [contract.names.index(name) for name in names]
    normals = contract.normals(scene)
    whole = (len(contract.names), plan.size, plan.size)
    ahead, readers = min(8, max(_FEWEST, _AHEAD // plan.size**2)), _READERS
    if batch > 1:
        ahead, readers = max(ahead, 2 * batch), max(readers, min(16, os.cpu_count() or 1))

    def read(window: Window) -> Question:
        found = scene.read(window, names)
        found, outliers = _taken_out(scene, contract, window, found, names)
        if found.shape == whole:
            square = found
        else:
            # Beyond the raster it goes on mirrored: its end is no cliff.
            beyond = ((0, 0), (0, plan.size - window.height), (0, plan.size - window.width))
            square = np.full(whole, np.nan, np.float32)
            square[places] = np.pad(found, beyond, mode="symmetric")
        question = _question(scene, contract, window, square, normals, keep_voids)
        return question if outliers is None else replace(question, outliers=outliers)

    with ThreadPoolExecutor(readers) as pool:
        waiting: deque[Future[Question]] = deque()
        try:
            for row in plan.rows:
                for column in plan.columns:
                    waiting.append(pool.submit(read, plan.window(row, column)))
                    if len(waiting) >= ahead:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _taken_out(
    scene: Scene, contract: Contract, window: Window, found: Array, names: list[str]
) -> tuple[Array, Array | None]:
    """Return a window's layers with gross outliers of a stereo DSM as voids, and their heights."""
    if contract.base != "dsm" or contract.base not in names:
        return found, None
    place = names.index(contract.base)
    outliers = outliers_in(scene, contract.base, window, found[place])
    if outliers is None:
        return found, None
    taken = np.where(outliers, found[place], np.float32(np.nan))
    found = found.copy()
    found[place][outliers] = np.nan
    return found, taken


def _question(
    scene: Scene,
    contract: Contract,
    window: Window,
    square: Array,
    normals: dict[str, tuple[float, float]],
    keep_voids: bool,
) -> Question:
    telling = [i for i, entry in enumerate(contract.layers) if entry.kind is not Kind.MASK]
    any_layer = np.asarray(np.isfinite(square[telling]).any(axis=0))
    based = any_layer
    if contract.base is not None:
        based = np.asarray(np.isfinite(square[contract.names.index(contract.base)]))
    known, measured = (m[: window.height, : window.width] for m in (any_layer, based))
    informed = _informed(scene, contract, window, known, measured, square.shape[1] // 4, keep_voids)
    if not informed.any() or not measured.any():
        return Question(window, None, informed, based)
    return Question(window, contract.encode(square, scene.pixel_size, normals), informed, based)


def _informed(
    scene: Scene,
    contract: Contract,
    window: Window,
    known: Mask,
    measured: Mask,
    reach: int,
    keep_voids: bool,
) -> Mask:
    """Return where an answer may stand, as bool (window.height, window.width).

    Where any layer says something, and in voids of the base that measured heights enclose; with
    ``keep_voids`` only where the base was measured. An image says nothing of heights beyond the
    end of a coarse prior.
    """
    if contract.base is None:
        return known
    if keep_voids:
        return measured
    if measured.all() or (known.all() and contract.base != PRIOR):
        return known
    wide = grown(window, 2 * reach, scene.shape)
    closed = enclosed(np.isfinite(scene.read(wide, [contract.base])[0]), reach)
    row, col = window.row - wide.row, window.col - wide.col
    inside = closed[row : row + window.height, col : col + window.width]
    return np.asarray((measured if contract.base == PRIOR else known) | inside)
