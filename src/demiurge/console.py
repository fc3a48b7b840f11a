"""Output on the terminal: lines, notes and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

#: Columns that hold text and are aligned to the left.
_TEXT_COLUMNS = ("verdict", "about", "where", "what it means")


def echo(text: str) -> None:
    """Print a line on standard output."""
    print(text, flush=True)  # noqa: T201


def note(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


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
