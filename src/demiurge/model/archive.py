"""The zip file of a bundle: its members, read with limits and without running code."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demiurge.errors import BundleError, ResourceError

CARD, GRAPH, WEIGHTS = "bundle.json", "graph.onnx", "weights.safetensors"
MEMBERS = (CARD, GRAPH, WEIGHTS)
#: Maximum unpacked size of the members in bytes: a damaged or hostile file must not fill memory.
MOST_BYTES = {CARD: 16 * 2**20, GRAPH: 2**30, WEIGHTS: 2**30}


def refuse_foreign(path: Path) -> None:
    """Raise an error that names the kind of the file if it is not a bundle."""
    if path.is_dir():
        raise BundleError(f"{path}: is a folder, not a bundle", "name the file")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from None
    if head[:1] == b"\x80":
        raise BundleError(
            f"{path}: is a pickle, which could run any code when loaded",
            "train a bundle with demiurge train instead",
        )
    if not zipfile.is_zipfile(path):
        cut = head == b"PK\x03\x04"
        what = "is cut short" if cut else "is not a bundle"
        cure = "fetch the bundle again" if cut else "name a .bundle file"
        raise BundleError(f"{path}: {what}", cure)
    with _readable(path, "its list of members"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    if any(n.endswith(("data.pkl", ".pickle")) for n in names):
        raise BundleError(
            f"{path}: is a PyTorch checkpoint, a pickle that could run any code when loaded",
            "train a bundle with demiurge train instead",
        )
    missing = [m for m in MEMBERS if m not in names]
    unknown = [n for n in names if n not in MEMBERS]
    if missing or unknown:
        fault = f"lacks {missing[0]}" if missing else f"contains '{unknown[0]}'"
        raise BundleError(f"{path}: is not a bundle: it {fault}", "name a .bundle file")
    for member, most in MOST_BYTES.items():
        if sizes[member] > most:
            raise BundleError(
                f"{path}: {member} has {sizes[member]} bytes, above the limit of {most}",
                "fetch the bundle again",
            )


def read_member(path: Path, name: str) -> bytes:
    """Return the content of a member."""
    with _readable(path, name), zipfile.ZipFile(path) as archive:
        return archive.read(name)


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Turn any error of reading a damaged zip file into a BundleError.

    Besides ``BadZipFile``, the reader raises errors of zlib, of unknown compression methods, of
    encryption, of struct and of decoding names; they differ between versions of Python.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise BundleError(
            f"{path}: {what} cannot be read ({reason})", "fetch the bundle again"
        ) from None


def sha256(content: bytes) -> str:
    """Return the checksum of a member."""
    return hashlib.sha256(content).hexdigest()
