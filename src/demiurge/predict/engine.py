"""The engine: windows are read ahead, answered, blended and handed on, row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from demiurge.layers import Kind
from demiurge.model.contract import Contract, Encoded
from demiurge.model.voids import enclosed
from demiurge.predict.blend import Blender
from demiurge.predict.plan import Plan, taper
from demiurge.predict.runtime import Runtime
from demiurge.progress import Advance, silent
from demiurge.scene.grid import Window, grown
from demiurge.scene.scene import Scene

Array = npt.NDArray[np.float32]

_READERS = 2
_AHEAD = 8


@dataclass(frozen=True)
class Question:
    """A window read and encoded; without ``encoded`` it holds nothing to work from."""

    window: Window
    encoded: Encoded | None
    informed: npt.NDArray[np.bool_]


def predict_rows(
    scene: Scene,
    contract: Contract,
    runtime: Runtime,
    plan: Plan,
    *,
    in_flight: int = 4,
    keep_voids: bool = False,
    advance: Advance = silent,
) -> Iterator[Array]:
    """Predict a scene and yield finished rows from north to south.

    Parameters
    ----------
    scene
        Holds at least the layers that the contract requires.
    in_flight
        Windows worked on at a time; does not change the result.
    keep_voids
        Leave NaN where the base was not measured.

    Yields
    ------
    float32 (planes, rows, width): the targets' heights in metres, then their uncertainties.
    NaN where no input says anything.
    """
    planes = contract.outputs
    blender = Blender(plan, planes)
    weights = taper(plan.size, plan.overlap)
    questions = _read_ahead(scene, contract, plan, keep_voids)
    answered = _answered(questions, runtime, in_flight)
    for index, _ in enumerate(plan.rows):
        for question, answer in islice(answered, len(plan.columns)):
            _blend(blender, contract, question, answer, weights)
            advance(question.window.height * question.window.width / 1e6)
        last = index + 1 == len(plan.rows)
        yield blender.take(plan.shape[0] if last else plan.rows[index + 1])


def _answered(
    questions: Iterator[Question], runtime: Runtime, in_flight: int
) -> Iterator[tuple[Question, Array | None]]:
    """Yield every question in order with its answer; None for those that ask nothing."""
    asked: deque[Question] = deque()

    def planes() -> Iterator[Array]:
        for question in questions:
            asked.append(question)
            if question.encoded is not None:
                yield question.encoded.planes

    for answer in runtime.answers(planes(), in_flight):
        while asked[0].encoded is None:
            yield asked.popleft(), None
        yield asked.popleft(), answer
    while asked:
        yield asked.popleft(), None


def _blend(
    blender: Blender, contract: Contract, question: Question, answer: Array | None, weights: Array
) -> None:
    if answer is None or question.encoded is None:
        return
    heights, uncertainty = contract.decode(answer, question.encoded)
    values = heights if uncertainty is None else np.concatenate([heights, uncertainty])
    height, width = question.window.height, question.window.width
    here = weights[:height, :width] * question.informed
    blender.add(question.window, values[:, :height, :width], here)


def _read_ahead(
    scene: Scene, contract: Contract, plan: Plan, keep_voids: bool
) -> Iterator[Question]:
    """Read and encode windows in threads, a few ahead of their use, and yield them in order."""
    names = [n for n in contract.names if n in scene.layers]
    normals = contract.normals(scene)

    def read(window: Window) -> Question:
        square = np.full((len(contract.names), plan.size, plan.size), np.nan, np.float32)
        for name, plane in zip(names, scene.read(window, names), strict=True):
            square[contract.names.index(name), : window.height, : window.width] = plane
        informed = _informed(scene, contract, window, square, plan.size // 4, keep_voids)
        base = square[contract.names.index(contract.base)] if contract.base else square
        if not informed.any() or not np.isfinite(base).any():
            return Question(window, None, informed)
        return Question(window, contract.encode(square, scene.pixel_size, normals), informed)

    with ThreadPoolExecutor(_READERS) as pool:
        waiting: deque[Future[Question]] = deque()
        for row in plan.rows:
            for column in plan.columns:
                waiting.append(pool.submit(read, plan.window(row, column)))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _informed(
    scene: Scene, contract: Contract, window: Window, square: Array, reach: int, keep_voids: bool
) -> npt.NDArray[np.bool_]:
    """Return where an answer may stand, as bool (window.height, window.width).

    Where any layer says something, and in voids of the base that measured heights enclose; with
    ``keep_voids`` only where the base was measured.
    """
    inside = square[:, : window.height, : window.width]
    base = None if contract.base is None else contract.names.index(contract.base)
    if keep_voids and base is not None:
        return np.asarray(np.isfinite(inside[base]))
    telling = [i for i, entry in enumerate(contract.layers) if entry.kind is not Kind.MASK]
    known = np.asarray(np.isfinite(inside[telling]).any(axis=0))
    if contract.base is None or known.all():
        return known
    wide = grown(window, 2 * reach, scene.shape)
    closed = enclosed(np.isfinite(scene.read(wide, [contract.base])[0]), reach)
    row, col = window.row - wide.row, window.col - wide.col
    return known | closed[row : row + window.height, col : col + window.width]
