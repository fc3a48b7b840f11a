"""Downloaded windows on disk: complete files only, the least recently used are removed first."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from demiurge.errors import ResourceError

#: Environment variable of the cache folder.
VARIABLE = "DEMIURGE_CACHE"
#: Seconds during which files of other processes are not removed.
_RECENT = 900.0


def default_folder() -> Path:
    """Return $DEMIURGE_CACHE, or a folder in the user's cache folder."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "demiurge"


@dataclass
class Cache:
    """Files by key, up to a size.

    Attributes
    ----------
    folder
        Created if needed.
    most
        Largest size in bytes after :meth:`trim`; files of this run are kept in any case.
    """

    folder: Path
    most: float
    used: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{self.folder}: cannot be created ({error.strerror})",
                f"choose another folder with --cache or {VARIABLE}",
            ) from None

    def path(self, *key: object) -> Path:
        """Return the path of a key, whether or not the file exists."""
        text = json.dumps(key, default=str)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.tif"

    def get(self, path: Path, make: Callable[[Path], None]) -> Path:
        """Return a file, made if it does not exist; it gets its name only when it is complete."""
        self.used.add(path)
        if path.exists():
            with suppress(OSError):
                os.utime(path)
            return path
        partial = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.partial.tif")
        try:
            make(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def trim(self) -> None:
        """Remove the least recently used files until the size is below the limit."""
        files = []
        for path in self.folder.glob("*.tif"):
            with suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = float(sum(size for _, size, _ in files))
        for modified, size, path in sorted(files):
            if total <= self.most:
                return
            if path in self.used or time.time() - modified < _RECENT:
                continue
            with suppress(OSError):
                path.unlink()
                total -= size
