"""Output files and folders: checked before any work, published only when they are complete.

Every command writes through this module. An output never replaces an input of its command. It
replaces other files only with ``--overwrite``, and gets its name in one step when it is complete.
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
from demiurge.paths import PathLike, local_file, split_band

#: Suffixes of raster outputs.
RASTERS = (".tif", ".tiff")
#: GDAL reads files of these names as part of a raster: an old mask hides new pixels.
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
    """Raise before any work if the file or folder ``path`` cannot, or must not, be written.

    Parameters
    ----------
    overwrite
        Whether existing files may be replaced. Inputs are never replaced.
    inputs
        Inputs of the command: paths with or without a band, folders, or names that GDAL resolves.
    suffixes
        Permitted suffixes of the file; any if empty.
    companions
        Files that are written together with it.

    Raises
    ------
    UsageError
        If the suffix is not permitted, the file is an input, or it exists and ``overwrite`` is not
        set.
    ResourceError
        If the folder does not exist or is not writable.
    """
    if suffixes and path.is_dir():
        raise UsageError(f"{path}: is a folder, not a file", "choose another name")
    if suffixes and path.suffix.lower() not in suffixes:
        suffix = f"the suffix '{path.suffix}'" if path.suffix else "no suffix"
        raise UsageError(
            f"{path}: has {suffix}, which is no output format of this command",
            f"name it with one of {', '.join(suffixes)}",
        )
    refuse_inputs((path, *companions), inputs)
    for place in (path, *companions):
        _check_free(place, overwrite=overwrite)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResourceError(f"{path}: there is no folder {folder}", "create it first")
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
    """Raise UsageError if an output is an input, contains one, or is part of one.

    Links, hard links and relative paths are resolved, and so are the files of virtual rasters.
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
    """Yield the local files of an input, including those that GDAL lists for it."""
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
    """Return the existing local file or folder that an input names, or None."""
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
    except (RasterioError, OSError, ValueError):  # ValueError: damaged CRS or text
        return []  # not a raster


def check_written(path: Path, least: int) -> None:
    """Raise if a file is smaller than expected: GDAL reports no full disk when it closes a file.

    Parameters
    ----------
    least
        Minimum size of the file in bytes.

    Raises
    ------
    ResourceError
        If the file is smaller.
    """
    if not path.exists() or path.stat().st_size < least:
        raise ResourceError(
            f"{path.parent}: {least / 1e6:.0f} MB could not be written completely",
            "free some space, or choose another disk",
        )


def publish(partial: Path, path: Path) -> None:
    """Rename a finished file to its final name, and remove sidecars of the replaced raster."""
    for sidecar in _sidecars(path):
        sidecar.unlink(missing_ok=True)
    partial.replace(path)


def _unread(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: is not written because a raster cannot be read ({error})",
        "check the inputs with gdalinfo -checksum",
    )


@contextmanager
def atomic_file(
    path: Path, *, overwrite: bool = False, inputs: Iterable[PathLike] = ()
) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` on success and is removed on failure."""
    with atomic_files([path], overwrite=overwrite, inputs=inputs) as partials:
        yield partials[0]


@contextmanager
def atomic_files(
    paths: Sequence[Path], *, overwrite: bool = False, inputs: Iterable[PathLike] = ()
) -> Iterator[list[Path]]:
    """Yield temporary paths that become ``paths`` on success and are removed on failure.

    Parameters
    ----------
    paths
        The files. The first one refers to the others and is published last.
    """
    first, *others = paths
    check_output(first, overwrite=overwrite, inputs=inputs, companions=others)
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder, not a file", "choose another name")
    partials = [p.with_name(f".{p.stem}.partial-{os.getpid()}{p.suffix}") for p in paths]
    try:
        yield partials
        for partial, path in zip(reversed(partials), reversed(paths), strict=True):
            if partial.exists() or path is first:
                publish(partial, path)
    except OSError as error:
        if error.errno is None:  # raised by GDAL for an input
            raise _unread(first, error) from error
        raise _unwritable(first, error) from error
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    path: Path,
    *,
    overwrite: bool = False,
    marker: str = "",
    contents: Sequence[str] = (),
    inputs: Iterable[PathLike] = (),
) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` on success and is removed on failure.

    Parameters
    ----------
    marker
        Name of a file; an existing folder without it is not replaced.
    contents
        Permitted names in such a folder; a folder with other entries is not replaced.
    """
    check_output(path, overwrite=overwrite, inputs=inputs)
    require_replaceable(path, marker, contents)
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


def require_replaceable(path: Path, marker: str, contents: Sequence[str] = ()) -> None:
    """Raise UsageError if an existing folder is not a result of this kind and must be kept.

    Parameters
    ----------
    marker, contents
        As in :func:`atomic_folder`; ``contents`` may hold patterns.
    """
    if not os.path.lexists(path):
        return
    if not (path.is_dir() and (path / marker).exists()):
        raise UsageError(f"{path}: is not an output of this command", "choose another name")
    if not contents:
        return
    for entry in sorted(path.iterdir()):
        if not any(entry.match(name + end) for name in contents for end in ("", *_SIDECARS)):
            raise UsageError(
                f"{path}: holds {entry.name}, which would be lost",
                "move it elsewhere, or choose another name",
            )


def replace_folder(fresh: Path, path: Path) -> None:
    """Rename a finished folder to its final name, then remove the folder that it replaces."""
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
        old.unlink()  # the target of the link stays
    else:
        shutil.rmtree(old, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> ResourceError:
    cure = "choose a writable folder"
    if error.errno in _FULL:
        cure = "free some space, or choose another disk"
    return ResourceError(f"{path}: cannot be written ({error.strerror})", cure)
