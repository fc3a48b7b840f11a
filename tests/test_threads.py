"""Ordered map over threads."""

import mmap
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from demiurge.threads import map_ordered, return_free_memory


def test_results_keep_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_ordered(work, range(20), 4)) == [n * n for n in range(20)]


def test_items_are_taken_only_a_few_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ordered(lambda item: item, items(), 2, ahead=3)
    assert next(results) == 0
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


def test_an_error_is_raised_in_its_turn_and_cancels_the_rest() -> None:
    started: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            started.append(item)
        if item == 1:
            raise ValueError("item 1")
        time.sleep(0.01)
        return item

    results = map_ordered(work, range(50), 1, ahead=10)
    assert next(results) == 0
    with pytest.raises(ValueError, match="item 1"):
        next(results)
    assert max(started) < 12


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_memory_is_returned_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE // 2**20

    def work(_: int) -> None:
        # Small arrays come from the pool of the thread; the last one keeps the pool's end in use.
        arrays = [np.ones(2**14) for _ in range(1000)]
        kept.append(arrays[-1])

    kept: list[np.ndarray] = []
    list(map_ordered(work, range(4), 2))
    return_free_memory()
    before = resident()
    list(map_ordered(work, range(4), 2))
    return_free_memory()
    assert len(kept) == 8
    assert resident() - before < 60
