"""Writing without regrets: results appear under their name only when they are whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demiurge.errors import ResourceError, UsageError


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise before any work if a result could not be put there.

    Raises
    ------
    UsageError
        If something is there and ``overwrite`` is not set.
    ResourceError
        If the folder does not exist or may not be written.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already", "choose another name or add --overwrite")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResourceError(f"{path}: there is no folder {folder}", "make it first")
    try:
        probe, name = tempfile.mkstemp(prefix=".demiurge-", dir=folder)
        os.close(probe)
        Path(name).unlink()
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror})", "choose a folder you may write to"
        ) from None


def check_written(path: Path, least: int) -> None:
    """Raise after writing if the disk did not take all of it: GDAL does not tell when it closes.

    Parameters
    ----------
    least
        Bytes that the file must have.

    Raises
    ------
    ResourceError
        If it has fewer.
    """
    if not path.exists() or path.stat().st_size < least:
        raise ResourceError(
            f"{path.parent}: {least / 1e6:.0f} MB could not be written in full",
            "make room there, or choose another disk",
        )


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``: it replaces it on success, goes on failure."""
    check_output(path, overwrite=overwrite)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder where a file is to go", "choose another name")
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False, marker: str = "") -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` on success and is removed on failure.

    Parameters
    ----------
    marker
        A file that an existing folder must hold to be replaced; keeps a slip of the pen from
        removing somebody's home.
    """
    check_output(path, overwrite=overwrite)
    if path.exists() and not (path.is_dir() and (path / marker).exists()):
        raise UsageError(f"{path}: is not what would be made here", "choose another name")
    partial = path.absolute().with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.mkdir()
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
