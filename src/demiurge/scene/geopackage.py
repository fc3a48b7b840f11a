"""GeoPackages opened with SQLite alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage for reading; nothing is written beside it.

    Raises
    ------
    sqlite3.Error
        If it cannot be opened.
    """
    # A URI, since only that opens read-only; its signs must be escaped, or `#` ends it.
    address = f"{path.absolute().as_uri()}?mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        # Else SQLite makes files beside one that was last written with a write-ahead log.
        address += "&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as base:
        yield base
