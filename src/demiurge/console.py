"""Output on the terminal: lines, notes and tables; JSON lines for other programs.

With ``DEMIURGE_PROGRESS=json``, the lines on standard error are JSON objects with the key
``event``: ``note``, ``progress`` or ``error``; libraries may print other lines in between.
Standard output does not change.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from demiurge.errors import UsageError

#: Environment variable that selects the form of progress, notes and errors.
PROGRESS = "DEMIURGE_PROGRESS"
#: Columns that hold text and are aligned to the left.
_TEXT_COLUMNS = ("verdict", "about", "where", "what it means")


def echo(text: str) -> None:
    """Print a line on standard output."""
    print(text, flush=True)  # noqa: T201


def note(text: str) -> None:
    """Print a line, or an event, on standard error."""
    if as_json():
        event("note", text=text.removeprefix("note: "))
    else:
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def failure(text: str, code: int) -> None:
    """Print the sentence of an error, or an event with its exit code, on standard error."""
    sentence = " ".join(text.split())
    if as_json():
        event("error", text=sentence, code=code)
    else:
        note(f"demiurge: {sentence}")


def as_json() -> bool:
    """Return whether progress, notes and errors are printed as JSON lines."""
    return os.environ.get(PROGRESS) == "json"


def check_form() -> None:
    """Refuse an unknown form of progress.

    Raises
    ------
    UsageError
        If ``DEMIURGE_PROGRESS`` is neither ``json`` nor ``text``.
    """
    form = os.environ.get(PROGRESS, "")
    if form not in ("", "text", "json"):
        raise UsageError(f"{PROGRESS} is '{form}'", "set it to json or text, or unset it")


def event(name: str, **content: Any) -> None:
    """Print a JSON object in one line on standard error."""
    line = json.dumps({"event": name, **content})
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table on standard output.

    The first column and columns of text are aligned to the left, the others to the right. The
    width is that of the terminal, or 120 characters if the output is redirected.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for index, column in enumerate(columns):
        left = index == 0 or column in _TEXT_COLUMNS
        shown.add_column(column, justify="left" if left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*(str(value) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(shown)
