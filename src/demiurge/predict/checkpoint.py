"""Checkpoint of a resumable result: finished rows on disk, and how far they go."""

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

_ROWS, _STATE, _LOCK = "rows.f32", "state.json", "lock"
#: Folder of the blocks that cluster workers write.
BLOCKS = "blocks"


@dataclass
class PixelCounts:
    """Counts over the finished pixels of a result.

    Attributes
    ----------
    pixels, unknown
        All pixels, and those without a height.
    uncertainty
        Sum over the pixels of the first uncertainty band.
    filled
        Pixels with a height where the input had none.
    outliers
        Pixels where the input was a gross outlier.
    """

    pixels: int = 0
    unknown: int = 0
    uncertainty: float = 0.0
    filled: int = 0
    outliers: int = 0

    @property
    def known(self) -> int:
        """Return the number of pixels with a height."""
        return self.pixels - self.unknown

    def add(self, other: PixelCounts) -> None:
        """Add the counts of another part of the result."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class _State:
    key: str
    done: dict[str, int] = field(default_factory=dict)
    counts: PixelCounts = field(default_factory=PixelCounts)
    kept: dict[str, Any] = field(default_factory=dict)


class Checkpoint:
    """Finished rows of a result on disk, and a record of them.

    The rows are stored uncompressed, band after band, so that any block can be written at any
    time. Rows count as finished once they are recorded.

    Attributes
    ----------
    folder
        Folder of the checkpoint.
    rows
        Its file of float32 (bands, rows, columns), without a header.
    complete
        All rows are finished. Later failures keep the checkpoint, so that a retry can use it.
    """

    def __init__(
        self, folder: Path, key: str, shape: tuple[int, int, int], target: Path | None = None
    ) -> None:
        self.folder, self.shape = folder, shape
        self.target = folder if target is None else target
        self.rows = folder / _ROWS
        self.complete = False
        self._state = self._read(key)
        self._file: IO[bytes] | None = None

    @property
    def counts(self) -> PixelCounts:
        """Return the counts over the finished pixels."""
        return self._state.counts

    def done(self, part: int | str) -> int:
        """Return the number of finished rows of a part."""
        return self._state.done.get(str(part), 0)

    @property
    def any_done(self) -> bool:
        """Return whether any part has finished rows."""
        return any(self._state.done.values())

    def write(self, part: int, top: int, left: int, values: Array) -> None:
        """Write finished rows of a part and record them.

        Parameters
        ----------
        top, left
            Position in the raster.
        values
            float32 (bands, rows, columns).
        """
        self.put(top, left, values)
        self._state.done[str(part)] = top + values.shape[1]
        self._save()

    def record(self, part: str, counts: PixelCounts) -> None:
        """Record a part that another process has written."""
        self._state.counts.add(counts)
        self._state.done[part] = 1
        self._save()

    def keep(self, name: str, value: Any) -> Any:
        """Return the value that an interrupted run kept by this name; keep this one otherwise."""
        if name not in self._state.kept:
            self._state.kept[name] = value
            self._save()
        return self._state.kept[name]

    def reset(self) -> None:
        """Discard all finished rows and kept values."""
        self.close()
        self._drop()
        self._state = _State(self._state.key)

    def put(self, top: int, left: int, values: Array) -> None:
        """Write rows without recording them; see :meth:`write`."""
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
        """Close the file of rows."""
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
                counts = PixelCounts(**content["counts"])
                return _State(key, dict(content["done"]), counts, dict(content["kept"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no state to resume from
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


def checkpoint_folder(path: Path) -> Path:
    """Return the folder of the checkpoint of a result."""
    return path.absolute().with_name(f".{path.name}.partial")


def _holds_other(folder: Path, key: str) -> bool:
    """Return whether a folder holds finished rows of another key."""
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


def _lock(path: Path, folder: Path) -> FileLock:
    """Create the folder of a checkpoint and lock it for this process."""
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{path}: another process is writing it", "wait for it, or choose another name"
        ) from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error})") from None
    return lock


@contextmanager
def open_checkpoint(
    path: Path, key: str, shape: tuple[int, int, int], *, quiet: bool, overwrite: bool = False
) -> Iterator[Checkpoint]:
    """Open the checkpoint of a result.

    It is removed when the result is complete, and after errors that a retry would meet again.

    Parameters
    ----------
    path
        The result. Its checkpoint is the hidden folder ``.<name>.partial`` next to it.
    key, shape
        Key from :func:`key_of`; bands, rows and columns.
    overwrite
        Discard a checkpoint with another key.

    Raises
    ------
    UsageError, ResourceError
        If another process writes the result, a checkpoint with another key holds finished rows,
        or the folder cannot be written.
    """
    folder = checkpoint_folder(path)
    lock = _lock(path, folder)
    keep = True
    try:
        if not overwrite and _holds_other(folder, key):
            raise UsageError(
                f"{path}: {folder} holds finished rows of a command with other inputs or options",
                "run that command again, discard them with --overwrite, or choose another name",
            )
        keep = False
        checkpoint = Checkpoint(folder, key, shape, path)
        try:
            yield checkpoint
        except BaseException as error:
            # The finished rows stay valid after a full disk and after an interruption.
            kept = isinstance(error, ResourceError) or not isinstance(error, DemiurgeError)
            keep = checkpoint.any_done and (checkpoint.complete or kept)
            if keep and not quiet and str(folder) not in str(error):
                note(f"finished rows are kept in {folder}; run the same command to resume")
            raise
        finally:
            checkpoint.close()
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()
        if os.name == "nt" and not keep:  # where an open file, the lock, cannot be removed
            shutil.rmtree(folder, ignore_errors=True)
