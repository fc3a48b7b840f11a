"""Output files and folders: checked before any work, published only when they are whole.

Every command writes through this module. An output never replaces an input of its command, replaces
anything else only with ``--overwrite``, and gets its name in one step when it is complete.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.paths import local_file, split_band

PathLike = str | os.PathLike[str]

#: Suffixes of rasters that are written.
RASTERS = (".tif", ".tiff")
#: GDAL reads files of these names as part of the raster: an old mask would hide new pixels.
_SIDECARS = (".aux.xml", ".msk", ".ovr", ".msk.ovr")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(
    path: Path,
    *,
    overwrite: bool,
    inputs: Iterable[PathLike] = (),
    suffixes: Sequence[str] = (),
    companions: Sequence[Path] = (),
) -> None:
    """Raise before any work if an output could not, or must not, be written.

    Parameters
    ----------
    path
        The file or folder.
    overwrite
        Whether what is there may be replaced. An input never is.
    inputs
        What the command reads: paths, with or without a band, folders, or GDAL's names.
    suffixes
        The suffixes that a file's name may have; any if empty.
    companions
        Files that are written with it.

    Raises
    ------
    UsageError
        If the name has another suffix, is that of an input, or is taken and ``overwrite`` is not
        set.
    ResourceError
        If the folder does not exist or may not be written.
    """
    if suffixes and path.is_dir():
        raise UsageError(f"{path}: is a folder where a file is to go", "choose another name")
    if suffixes and path.suffix.lower() not in suffixes:
        found = f"'{path.suffix}'" if path.suffix else "no suffix"
        raise UsageError(
            f"{path}: has {found}, which names no format that is written here",
            f"name it with one of {', '.join(suffixes)}",
        )
    refuse_inputs((path, *companions), inputs)
    for place in (path, *companions):
        _check_free(place, overwrite=overwrite)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResourceError(f"{path}: there is no folder {folder}", "make it first")
    try:
        probe, name = tempfile.mkstemp(prefix=".demiurge-", dir=folder)
        os.close(probe)
        Path(name).unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


def _check_free(path: Path, *, overwrite: bool) -> None:
    if overwrite:
        return
    if os.path.lexists(path):
        raise UsageError(f"{path}: exists already", "choose another name or add --overwrite")
    for sidecar in _sidecars(path):
        if sidecar.exists():
            raise UsageError(
                f"{sidecar}: exists already and would be read as part of {path.name}",
                "remove it, choose another name or add --overwrite",
            )


def _sidecars(path: Path) -> list[Path]:
    if path.suffix.lower() not in (*RASTERS, ".vrt"):
        return []
    return [path.with_name(path.name + suffix) for suffix in _SIDECARS]


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[PathLike]) -> None:
    """Raise UsageError if one of the outputs is an input, holds one, or is part of one.

    Links, relative paths and hard links are seen through, and so are the files of a virtual raster.
    """
    places = [place for path in outputs for place in (path, *_sidecars(path)) if place.exists()]
    if not places:
        return
    for given in inputs:
        for file in _files_of(given):
            for place in places:
                if _same(place, file):
                    raise UsageError(
                        f"{place}: is an input of this command ({given}) and is never replaced",
                        "choose another name for the output",
                    )


def _same(output: Path, file: Path) -> bool:
    try:
        if output.samefile(file):
            return True
        within = output if output.is_dir() else file if file.is_dir() else None
        other = file if within is output else output
        return within is not None and other.resolve().is_relative_to(within.resolve())
    except OSError:
        return False


def _files_of(given: PathLike) -> Iterator[Path]:
    """Yield the local files behind an input, among them those that GDAL counts to it."""
    todo, seen = [_local(os.fspath(given))], set[Path]()
    while todo:
        path = todo.pop()
        if path is None or path in seen:
            continue
        seen.add(path)
        yield path
        if path.is_file():
            todo += [Path(name) for name in _gdal_files(path) if Path(name).exists()]


def _local(text: str) -> Path | None:
    """Return the file or folder on this machine that an input means, or None."""
    file = local_file(split_band(text)[0])
    return file if file is not None and file.exists() else None


def _gdal_files(path: Path) -> list[str]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path) as dataset:
                return [str(name) for name in dataset.files]
    except (RasterioError, OSError, ValueError):  # ValueError: a CRS or text in it is damaged
        return []  # no raster


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


def publish(partial: Path, path: Path) -> None:
    """Give a finished file its name; sidecars of the raster that it replaces go."""
    for sidecar in _sidecars(path):
        sidecar.unlink(missing_ok=True)
    partial.replace(path)


def _unread(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: is not written, for a raster cannot be read ({error})",
        "check the inputs with gdalinfo -checksum",
    )


@contextmanager
def whole_file(
    path: Path, *, overwrite: bool = False, inputs: Iterable[PathLike] = ()
) -> Iterator[Path]:
    """Give a temporary path beside ``path``: it replaces it on success, goes on failure."""
    with whole_files([path], overwrite=overwrite, inputs=inputs) as partials:
        yield partials[0]


@contextmanager
def whole_files(
    paths: Sequence[Path], *, overwrite: bool = False, inputs: Iterable[PathLike] = ()
) -> Iterator[list[Path]]:
    """Give temporary paths beside several files: all replace them on success, go on failure.

    Parameters
    ----------
    paths
        The file first that names the others; it is published last.
    """
    first, *others = paths
    check_output(first, overwrite=overwrite, inputs=inputs, companions=others)
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder where a file is to go", "choose another name")
    partials = [p.with_name(f".{p.stem}.partial-{os.getpid()}{p.suffix}") for p in paths]
    try:
        yield partials
        for partial, path in zip(reversed(partials), reversed(paths), strict=True):
            if partial.exists() or path is first:
                publish(partial, path)
    except OSError as error:
        if error.errno is None:  # GDAL's, which does not tell of which file
            raise _unread(first, error) from error
        raise _unwritable(first, error) from error
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(
    path: Path,
    *,
    overwrite: bool = False,
    marker: str = "",
    contents: Sequence[str] = (),
    inputs: Iterable[PathLike] = (),
) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` on success and is removed on failure.

    Parameters
    ----------
    marker
        A file that an existing folder must hold to be replaced.
    contents
        Names that such a folder may hold; a folder with anything else is not replaced.
    """
    check_output(path, overwrite=overwrite, inputs=inputs)
    require_ours(path, marker, contents)
    partial = path.absolute().with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.mkdir()
        yield partial
        replace_folder(partial, path)
    except OSError as error:
        if error.errno is None:
            raise _unread(path, error) from error
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_ours(path: Path, marker: str, contents: Sequence[str] = ()) -> None:
    """Raise UsageError if a folder that is to be replaced holds what was not made there.

    Parameters
    ----------
    marker, contents
        As for :func:`whole_folder`; patterns are allowed in ``contents``.
    """
    if not os.path.lexists(path):
        return
    if not (path.is_dir() and (path / marker).exists()):
        raise UsageError(f"{path}: is not what would be made here", "choose another name")
    if not contents:
        return
    for entry in sorted(path.iterdir()):
        if not any(entry.match(name + end) for name in contents for end in ("", *_SIDECARS)):
            raise UsageError(
                f"{path}: holds {entry.name}, which would be lost",
                "move it elsewhere, or choose another name",
            )


def replace_folder(fresh: Path, path: Path) -> None:
    """Give a finished folder its name; the one that it replaces goes when that is done."""
    old = path.absolute().with_name(f".{path.name}.old-{os.getpid()}")
    if not path.exists():
        fresh.replace(path)
        return
    path.replace(old)
    try:
        fresh.replace(path)
    except OSError:
        old.replace(path)
        raise
    if old.is_symlink():
        old.unlink()  # what it leads to stays
    else:
        shutil.rmtree(old, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> ResourceError:
    cure = "choose a folder you may write to"
    if error.errno in _FULL:
        cure = "free some space, or choose another disk"
    return ResourceError(f"{path}: cannot be written ({error.strerror})", cure)
