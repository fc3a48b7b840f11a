"""Progress: a bar on a terminal, otherwise a line after two seconds and then every ten.

As JSON lines (:mod:`demiurge.console`): the start, the end, and up to five events a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from demiurge import console

#: Seconds until the first line, and between lines.
_FIRST, _SECONDS = 2.0, 10.0
#: Least seconds between two events.
_EVENT_SECONDS = 0.2


class Advance(Protocol):
    """Record that some units of work are done; ``note`` is shown next to the bar."""

    def __call__(self, done: float = 1, note: str = "") -> None: ...


def silent(done: float = 1, note: str = "") -> None:
    """Show nothing."""


@contextmanager
def progress(
    title: str, total: float, *, quiet: bool = False, unit: str = "", passing: bool = False
) -> Iterator[Advance]:
    """Show the progress of ``total`` units of work on standard error.

    Parameters
    ----------
    passing
        Remove the bar at the end, for stages that are usually short.
    """
    if quiet:
        yield silent
    elif console.as_json():
        events = _Events(title, total, unit)
        yield events
        events.finish()
    elif sys.stderr.isatty():
        with _bar(title, total, unit, passing) as advance:
            yield advance
    else:
        yield _Lines(title, total, unit)


@contextmanager
def _bar(title: str, total: float, unit: str, passing: bool) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.5g}/{task.total:.5g} " + unit),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=passing) as bar:
        task = bar.add_task(title, total=total, note="", speed="")
        done_so_far = 0.0

        def advance(done: float = 1, note: str = "") -> None:
            nonlocal done_so_far
            done_so_far += done
            seconds = time.monotonic() - start
            speed = f"{done_so_far / seconds:.3g}/s" if seconds > 1 else ""
            bar.update(task, advance=done, speed=speed)
            if note:
                bar.update(task, note=note)

        yield advance


class _Lines:
    """Print a line after two seconds, then one every ten; print nothing for shorter work."""

    def __init__(self, title: str, total: float, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0.0
        self.start = time.monotonic()
        self.next = self.start + _FIRST

    def __call__(self, done: float = 1, note: str = "") -> None:
        self.done += done
        now = time.monotonic()
        if now >= self.next:
            self.next = now + _SECONDS
            text = f"{self.title}: {self.done:.5g}/{self.total:.5g} {self.unit}".rstrip()
            speed = self.done / (now - self.start)
            if speed > 0:
                left = max(self.total - self.done, 0) / speed
                text += f", {speed:.3g}/s, {_clock(left)} left"
            console.note(f"{text}  {note}".rstrip())


class _Events:
    """Print the state as JSON lines: stage, done, total, unit and note."""

    def __init__(self, title: str, total: float, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done, self.note = 0.0, ""
        self.next = 0.0
        self._print(time.monotonic())

    def __call__(self, done: float = 1, note: str = "") -> None:
        self.done += done
        self.note = note or self.note
        now = time.monotonic()
        self.due = True
        if now >= self.next:
            self._print(now)

    def finish(self) -> None:
        """Print the last state, if it is not printed yet."""
        if self.due:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        self.due, self.next = False, now + _EVENT_SECONDS
        console.event(
            "progress",
            stage=self.title,
            done=self.done,
            total=self.total,
            unit=self.unit,
            note=self.note,
        )


def _clock(seconds: float) -> str:
    """Write seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
