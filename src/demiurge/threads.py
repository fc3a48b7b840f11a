"""Ordered map over threads, and the memory that they leave behind."""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    *,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """Apply a function to items in threads and yield the results in the order of the items.

    Items are taken from the iterable only as results are consumed, which bounds the memory.

    Parameters
    ----------
    work
        The function; called in worker threads.
    items
        Its arguments; iterated in the calling thread.
    threads
        Number of threads, at least 1.
    ahead
        Largest number of items submitted beyond the one that is yielded next; ``2 · threads`` if
        None.

    Raises
    ------
    Exception
        The exception that ``work`` raises for an item, when its result is due. Items that have
        not started are then cancelled, as when the consumer stops early.
    """
    ahead = 2 * threads if ahead is None else ahead
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def return_free_memory() -> None:
    """Return memory that is free but kept by the allocator to the system.

    glibc keeps freed arrays in a pool for each thread, hundreds of megabytes after a stage with
    large arrays. Does nothing on other systems.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
