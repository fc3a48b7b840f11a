"""LAS and LAZ files, read in chunks; COPC files, read by nodes of their octree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from demiurge.errors import DataError, DemiurgeError, ResourceError
from demiurge.pointclouds.cloud import CHUNK, Cloud, HeightUnit, las_bounds, las_frame
from demiurge.scene.grid import Bounds

#: Largest number of bytes between two nodes of a COPC file that are read in one piece.
_GAP = 2**16


def open_las(
    path: Path, source_crs: str | None, height_unit: HeightUnit | None, name: str = ""
) -> Cloud | None:
    """Open a LAS or LAZ file; None if it contains no points.

    Parameters
    ----------
    name
        Name for messages; the path if empty.

    Raises
    ------
    ResourceError, DataError
        If the file cannot be read, or its header is not usable.
    """
    import laspy

    name = name or str(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{name}: is empty", "download it again")
        with laspy.open(path) as reader:
            header = reader.header
    except DemiurgeError:
        raise
    except OSError as error:
        raise ResourceError(f"{name}: cannot be read ({error.strerror})", "check it") from None
    except Exception as error:  # laspy lets the exceptions of its decoders through
        raise DataError(
            f"{name}: cannot be read as LAS ({error})", "check the file with lasinfo"
        ) from None
    if header.point_count == 0:
        return None
    frame = las_frame(name, header, source_crs, height_unit)
    bounds = las_bounds(name, header, frame.crs)
    low = bytes(header.uuid.bytes) if header.uuid is not None else b""
    key = (header.point_count, path.stat().st_size, *header.mins, *header.maxs, low, _head(path))
    colour = "red" in set(header.point_format.dimension_names)

    def read(_: Bounds | None) -> Iterator[Any]:
        return _chunks(name, path, int(header.point_count))

    return Cloud(name, frame, bounds, int(header.point_count), colour, read, key)


def _head(path: Path) -> int:
    """Return a hash of the first and last points of a file, to recognise copies."""
    with path.open("rb") as file:
        head = file.read(2**16)
        file.seek(max(0, path.stat().st_size - 2**16))
        return hash((head, file.read()))


def _chunks(name: str, path: Path, total: int) -> Iterator[Any]:
    import laspy

    done = 0
    try:
        with laspy.open(path, decompression_selection=_selection()) as reader:
            for chunk in reader.chunk_iterator(CHUNK):
                done += len(chunk)
                yield chunk
    except Exception as error:  # as above
        raise _damaged(name, done, total, str(error)) from None
    if done != total:
        raise _damaged(name, done, total, "the file is truncated")


def _selection() -> Any:
    """Return the dimensions to decompress: those that rasters are made of."""
    from laspy import DecompressionSelection as Selection

    return (
        Selection.base()
        | Selection.Z
        | Selection.CLASSIFICATION
        | Selection.FLAGS
        | Selection.INTENSITY
        | Selection.RGB
    )


def _damaged(name: str, done: int, total: int, reason: str) -> DataError:
    return DataError(
        f"{name}: is damaged after {done} of {total} points ({reason.rstrip('.')})",
        "download it again",
    )


def is_copc(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of COPC (589 bytes are needed)."""
    return head[:4] == b"LASF" and head[377:381] == b"copc"


def open_copc(
    name: str,
    stream: Any,
    source_crs: str | None,
    height_unit: HeightUnit | None,
    resolution: float | None,
) -> Cloud | None:
    """Open a COPC file; None if it contains no points.

    Parameters
    ----------
    name
        Name for messages.
    stream
        The file: ``read``, ``seek`` and ``tell``.
    resolution
        Point spacing in units of the CRS down to which levels are read; None for all levels.

    Raises
    ------
    ResourceError, DataError
        If the file cannot be read, or its header is not usable.
    """
    import laspy

    try:
        reader = laspy.CopcReader(stream, decompression_selection=_selection())
        reader.header.read_evlrs(stream)  # some writers put the CRS behind the points
    except DemiurgeError:
        raise
    except Exception as error:  # laspy lets the exceptions of its decoders through
        raise DataError(
            f"{name}: cannot be read as COPC ({error})", "check the file with lasinfo"
        ) from None
    header = reader.header
    if header.point_count == 0:
        return None
    frame = las_frame(name, header, source_crs, height_unit)
    bounds = las_bounds(name, header, frame.crs)
    colour = "red" in set(header.point_format.dimension_names)

    def read(window: Bounds | None) -> Iterator[Any]:
        return _nodes(name, reader, stream, window, resolution)

    key = (int(header.point_count), *header.mins, *header.maxs, name)
    return Cloud(name, frame, bounds, int(header.point_count), colour, read, key)


def _nodes(
    name: str, reader: Any, stream: Any, window: Bounds | None, resolution: float | None
) -> Iterator[Any]:
    """Yield the points of the nodes that overlap a window, some nodes at once."""
    from laspy.copc import Bounds as Box
    from laspy.copc import load_octree_for_query

    box = None
    if window is not None:
        low, high = np.array(window[:2]), np.array(window[2:])
        box = Box(low, high).ensure_3d(reader.header.mins, reader.header.maxs)
    levels = None if resolution is None else range(_levels(reader.copc_info.spacing, resolution))
    done = 0
    try:
        nodes = load_octree_for_query(
            stream, reader.copc_info, reader.root_page, query_bounds=box, level_range=levels
        )
        for group in _groups(nodes):
            done += sum(node.point_count for node in group)
            yield _decompressed(reader, stream, group)
    except DemiurgeError:
        raise
    except Exception as error:  # the exceptions of the decoder have no common base
        raise _damaged(name, done, int(reader.header.point_count), str(error)) from None


def _levels(spacing: float, resolution: float) -> int:
    """Return the number of levels down to a point spacing; each level halves it."""
    return max(0, int(np.ceil(np.log2(spacing / resolution)))) + 1


def _groups(nodes: Iterable[Any]) -> Iterator[list[Any]]:
    """Group nodes in the order of the file, up to a chunk of points or a gap between them."""
    group: list[Any] = []
    for node in sorted((n for n in nodes if n.point_count > 0), key=lambda n: n.offset):
        full = sum(n.point_count for n in group) + node.point_count > CHUNK
        gap = group and node.offset - group[-1].offset - group[-1].byte_size > _GAP
        if group and (full or gap):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _decompressed(reader: Any, stream: BinaryIO, group: list[Any]) -> Any:
    """Read and decompress some nodes; the bytes between the first and the last are read at once."""
    import lazrs
    from laspy import ScaleAwarePointRecord
    from laspy.point.record import PackedPointRecord

    header, start = reader.header, group[0].offset
    stream.seek(start)
    size = group[-1].offset + group[-1].byte_size - start
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the file is truncated")
    parts = (data[n.offset - start : n.offset - start + n.byte_size] for n in group)
    count = sum(node.point_count for node in group)
    points = np.zeros(count * header.point_format.size, np.uint8)
    lazrs.decompress_points_with_chunk_table(
        b"".join(parts),
        reader.laszip_vlr.record_data,
        points,
        [(node.point_count, node.byte_size) for node in group],
        reader.decompression_selection,
    )
    record = PackedPointRecord.from_buffer(points, header.point_format)
    return ScaleAwarePointRecord(record.array, record.point_format, header.scales, header.offsets)
