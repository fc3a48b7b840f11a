"""Finished rows kept beside the result until it is whole, so that work can go on later."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from demiurge.arrays import Array
from demiurge.console import note
from demiurge.errors import DemiurgeError, ResourceError, UsageError

_ROWS, _STATE, _LOCK = "rows.f32", "journal.json", "lock"
#: Folder of blocks that workers write.
BLOCKS = "blocks"


@dataclass
class PixelCounts:
    """What is counted while rows pass by."""

    pixels: int = 0
    unknown: int = 0
    uncertainty: float = 0.0
    filled: int = 0
    outliers: int = 0

    @property
    def known(self) -> int:
        """Return the pixels with a height."""
        return self.pixels - self.unknown


@dataclass
class _State:
    key: str
    done: dict[str, int] = field(default_factory=dict)
    tally: PixelCounts = field(default_factory=PixelCounts)
    settled: dict[str, Any] = field(default_factory=dict)


class Checkpoint:
    """Rows of a surface on disk, and how far they go.

    The rows lie uncompressed, band after band, so that any part of them can be written at any
    time; what is written counts only once it is noted.
    """

    def __init__(
        self, folder: Path, key: str, shape: tuple[int, int, int], target: Path | None = None
    ) -> None:
        self.folder, self.shape = folder, shape
        self.target = folder if target is None else target
        self.rows = folder / _ROWS
        self._state = self._read(key)
        self._file: IO[bytes] | None = None
        #: All is there: what fails now fails for another reason, and can be tried again.
        self.whole = False

    @property
    def tally(self) -> PixelCounts:
        """Return what was counted so far."""
        return self._state.tally

    def done(self, part: int | str) -> int:
        """Return how many rows of a part are finished."""
        return self._state.done.get(str(part), 0)

    @property
    def any_done(self) -> bool:
        """Tell whether anything is finished."""
        return any(self._state.done.values())

    def write(self, part: int, top: int, left: int, values: Array) -> None:
        """Write finished rows of a part and take note of them.

        Parameters
        ----------
        top, left
            Where they lie in the raster.
        values
            float32 (bands, rows, columns).
        """
        self.put(top, left, values)
        self._state.done[str(part)] = top + values.shape[1]
        self._save()

    def note(self, part: str, tally: PixelCounts) -> None:
        """Take note of a part that was written elsewhere as a whole."""
        ours = self._state.tally
        ours.pixels += tally.pixels
        ours.unknown += tally.unknown
        ours.uncertainty += tally.uncertainty
        ours.filled += tally.filled
        ours.outliers += tally.outliers
        self._state.done[part] = 1
        self._save()

    def settle(self, name: str, value: Any) -> Any:
        """Return what an interrupted run had settled on by this name; else settle on the value."""
        if name not in self._state.settled:
            self._state.settled[name] = value
            self._save()
        return self._state.settled[name]

    def begin_anew(self) -> None:
        """Forget what is finished."""
        self.close()
        self._drop()
        self._state = _State(self._state.key)

    def put(self, top: int, left: int, values: Array) -> None:
        """Write rows without taking note of them; see :meth:`write`."""
        _, height, width = self.shape
        try:
            file = self._open()
            for band in range(values.shape[0]):
                plane = np.ascontiguousarray(values[band])
                first = (band * height + top) * width + left
                if plane.shape[1] == width:
                    _put(file, 4 * first, plane)
                else:
                    for row in range(plane.shape[0]):
                        _put(file, 4 * (first + row * width), plane[row])
        except OSError as error:
            raise ResourceError(
                f"{self.target}: cannot be written ({error.strerror})",
                "make room there and run the command again",
            ) from None

    def close(self) -> None:
        """Close the rows' file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        if self._file is None:
            size = 4 * int(np.prod(self.shape, dtype=np.int64))
            fresh = not self.rows.exists()
            self._file = self.rows.open("w+b" if fresh else "r+b", buffering=0)
            if fresh:
                self._file.truncate(size)
        return self._file

    def _read(self, key: str) -> _State:
        path = self.folder / _STATE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            there = self.rows.exists() or (self.folder / BLOCKS).exists()
            if content["key"] == key and there:
                tally = PixelCounts(**content["tally"])
                return _State(key, dict(content["done"]), tally, dict(content["settled"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # nothing to go on from
        self._drop()
        return _State(key)

    def _drop(self) -> None:
        self.rows.unlink(missing_ok=True)
        shutil.rmtree(self.folder / BLOCKS, ignore_errors=True)

    def _save(self) -> None:
        path = self.folder / _STATE
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self._state)), encoding="utf-8")
        fresh.replace(path)


def _holds_other(folder: Path, key: str) -> bool:
    """Tell whether a folder holds finished work of another key."""
    try:
        content = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return content["key"] != key and any(content["done"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _put(file: IO[bytes], offset: int, plane: Array) -> None:
    left = plane.data.cast("B")
    file.seek(offset)
    while left:
        left = left[file.write(left) :]


def key_of(content: Mapping[str, Any]) -> str:
    """Return a key that changes with anything that changes the result."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def open_checkpoint(
    path: Path, key: str, shape: tuple[int, int, int], *, quiet: bool, overwrite: bool = False
) -> Iterator[Checkpoint]:
    """Keep a journal for a result; it goes when the result is whole, or cannot become so.

    Parameters
    ----------
    path
        The result. Its journal is the hidden folder ``.<name>.partial`` beside it.
    key
        From :func:`key_of`.
    shape
        Bands, rows and columns.
    overwrite
        Throw a journal of another key away.

    Raises
    ------
    UsageError
        If another process is at work on the same result, or a journal of another key holds
        finished work.
    """
    folder = path.absolute().with_name(f".{path.name}.partial")
    try:
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{path}: another process is writing it", "wait for it, or choose another name"
        ) from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error})") from None
    keep = True
    try:
        if not overwrite and _holds_other(folder, key):
            raise UsageError(
                f"{path}: {folder} holds what a command with other inputs or options finished",
                "run that one again, add --overwrite to begin anew, or choose another name",
            )
        keep = False
        journal = Checkpoint(folder, key, shape, path)
        try:
            yield journal
        except BaseException as error:
            # A disk that fills up and a stop from outside are no fault of the work done so far.
            faulty = isinstance(error, DemiurgeError) and not isinstance(error, ResourceError)
            keep = journal.any_done and (journal.whole or not faulty)
            if keep and not quiet and str(folder) not in str(error):
                note(f"what is finished is kept in {folder}; the same command goes on from there")
            raise
        finally:
            journal.close()
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()
        if os.name == "nt" and not keep:  # where an open file, the lock, cannot be removed
            shutil.rmtree(folder, ignore_errors=True)
