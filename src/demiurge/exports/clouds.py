"""Writers of point clouds in blocks: LAS, LAZ, PLY."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from demiurge.errors import DataError, ResourceError

Points = npt.NDArray[np.float64]
Colours = npt.NDArray[np.uint8]


class CloudWriter(Protocol):
    """Writer of a point cloud; closed once."""

    def add(self, points: Points, colours: Colours | None) -> None:
        """Write float64 points (count, 3), x, y in the CRS and heights in metres, and colours."""

    def close(self) -> None:
        """Finish the file."""

    def release(self) -> None:
        """Close open files, finished or not."""


@dataclass(frozen=True)
class Frame:
    """Coordinate frame of a point cloud.

    Attributes
    ----------
    name
        Name of the file in errors.
    crs
        An odc-geo CRS.
    origin
        Origin of the stored coordinates.
    extent
        Longer side of the surface in metres.
    """

    name: str
    crs: Any
    origin: tuple[float, float, float]
    extent: float


def cloud_writer(path: Path, kind: str, frame: Frame, coloured: bool) -> CloudWriter:
    """Open a point cloud for writing: ``las``, ``laz`` or ``ply``."""
    return _Ply(path, frame, coloured) if kind == "ply" else _Las(path, kind, frame, coloured)


def release(file: IO[Any]) -> None:
    """Close a file and ignore errors: buffered data may not fit on the disk."""
    with suppress(OSError):
        file.close()


class _Las:
    """LAS 1.4 with the CRS as WKT; millimetres unless 32 bits require larger steps."""

    def __init__(self, path: Path, kind: str, frame: Frame, coloured: bool) -> None:
        import laspy

        header = laspy.LasHeader(point_format=7 if coloured else 6, version="1.4")
        step = 10.0 ** max(-3, math.ceil(math.log10(max(frame.extent, 1.0) / 2**31)))
        header.offsets, header.scales = np.array(frame.origin), np.array([step, step, 0.001])
        header.add_crs(frame.crs.proj)
        self._laspy, self._header, self._name = laspy, header, frame.name
        # A laspy writer cannot be closed after a failed write; its file can.
        self._file = path.open("w+b")
        with self._errors():
            self._writer = laspy.open(
                self._file, "w", header=header, do_compress=kind == "laz", closefd=False
            )

    def add(self, points: Points, colours: Colours | None) -> None:
        with self._errors():
            record = self._laspy.ScaleAwarePointRecord.zeros(len(points), header=self._header)
            record.x, record.y, record.z = points.T
            if colours is not None:
                # LAS colours have 16 bits.
                record.red, record.green, record.blue = colours.T.astype(np.uint16) * 257
            self._writer.write_points(record)

    def close(self) -> None:
        with self._errors():
            self._writer.close()
            self._file.close()

    def release(self) -> None:
        release(self._file)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert errors of laspy and its codecs to errors of demiurge."""
        try:
            yield
        except OSError:
            raise
        except OverflowError:
            raise DataError(
                f"{self._name}: has coordinates that LAS cannot store", "write PLY instead"
            ) from None
        except Exception as error:
            raise ResourceError(
                f"{self._name}: cannot be written ({error})", "check the free space"
            ) from error


class _Ply:
    """Binary PLY; float32 coordinates relative to an origin that is stored as a comment."""

    def __init__(self, path: Path, frame: Frame, coloured: bool) -> None:
        self._origin = np.array(frame.origin)
        fields = [(axis, "<f4") for axis in "xyz"]
        lines = ["property float x", "property float y", "property float z"]
        if coloured:
            fields += [(name, "u1") for name in ("red", "green", "blue")]
            lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
        self._type = np.dtype(fields)
        place = " ".join(f"{v:.3f}" for v in frame.origin)
        wkt = " ".join(frame.crs.to_wkt().split())
        self._before = (
            f"ply\nformat binary_little_endian 1.0\ncomment origin {place}\n"
            f"comment crs {wkt}\nelement vertex "
        )
        self._after = "\n".join(["", *lines, "end_header", ""])
        self._count = 0
        self._file = path.open("w+b")
        self._write_header()

    def _write_header(self) -> None:
        # The count is padded, so that it can be replaced at the end.
        self._file.seek(0)
        self._file.write(f"{self._before}{self._count:<15d}{self._after}".encode())

    def add(self, points: Points, colours: Colours | None) -> None:
        record = np.empty(len(points), self._type)
        for index, axis in enumerate("xyz"):
            record[axis] = points[:, index] - self._origin[index]
        if colours is not None:
            for index, name in enumerate(("red", "green", "blue")):
                record[name] = colours[:, index]
        self._count += len(points)
        self._file.write(record.tobytes())

    def close(self) -> None:
        self._write_header()
        self._file.close()

    def release(self) -> None:
        release(self._file)
