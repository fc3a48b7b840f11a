"""Point clouds, written as they come: LAS, LAZ, PLY, XYZ."""

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
    """Takes points and is closed once."""

    def add(self, points: Points, colours: Colours | None) -> None:
        """Write points (count, 3) in the CRS and metres, and their colours."""

    def close(self) -> None:
        """Finish the file."""

    def release(self) -> None:
        """Let go of open files, finished or not."""


@dataclass(frozen=True)
class Frame:
    """What a point cloud says of its coordinates.

    Attributes
    ----------
    name
        What the file is called in errors.
    crs
        An odc-geo CRS; LAS and PLY keep it.
    origin
        About which coordinates are stored.
    reach
        How far they may be from it, in metres.
    """

    name: str
    crs: Any
    origin: tuple[float, float, float]
    reach: float


def cloud_writer(path: Path, kind: str, frame: Frame, coloured: bool) -> CloudWriter:
    """Open a point cloud for writing: ``las``, ``laz``, ``ply`` or ``xyz``."""
    if kind in ("las", "laz"):
        return _Las(path, kind, frame, coloured)
    if kind == "ply":
        return _Ply(path, frame, coloured)
    return _Xyz(path)


def release(file: IO[Any]) -> None:
    """Close a file without a word: what it still holds may not fit on the disk."""
    with suppress(OSError):
        file.close()


class _Las:
    """LAS 1.4, millimetres where 32 bits hold them, CRS as WKT."""

    def __init__(self, path: Path, kind: str, frame: Frame, coloured: bool) -> None:
        import laspy

        header = laspy.LasHeader(point_format=7 if coloured else 6, version="1.4")
        step = 10.0 ** max(-3, math.ceil(math.log10(max(frame.reach, 1.0) / 2**31)))
        header.offsets, header.scales = np.array(frame.origin), np.array([step, step, 0.001])
        header.add_crs(frame.crs.proj)
        self._laspy, self._header, self._name = laspy, header, frame.name
        # Laspy cannot be closed once its file could not be written; the file itself can.
        self._file = path.open("w+b")
        with self._sentences():
            self._writer = laspy.open(
                self._file, "w", header=header, do_compress=kind == "laz", closefd=False
            )

    def add(self, points: Points, colours: Colours | None) -> None:
        with self._sentences():
            record = self._laspy.ScaleAwarePointRecord.zeros(len(points), header=self._header)
            record.x, record.y, record.z = points.T
            if colours is not None:
                # LAS colours have 16 bits.
                record.red, record.green, record.blue = colours.T.astype(np.uint16) * 257
            self._writer.write_points(record)

    def close(self) -> None:
        with self._sentences():
            self._writer.close()
            self._file.close()

    def release(self) -> None:
        release(self._file)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what laspy and its coders raise into our errors."""
        try:
            yield
        except OSError:
            raise
        except OverflowError:
            raise DataError(
                f"{self._name}: has coordinates that LAS cannot hold", "write PLY or XYZ instead"
            ) from None
        except Exception as error:
            raise ResourceError(
                f"{self._name}: cannot be written ({error})", "check the free space"
            ) from error


class _Ply:
    """Binary PLY; coordinates are float32 about an origin that a comment tells."""

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
        self._head()

    def _head(self) -> None:
        # The count is padded, so that it can be put in at the end.
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
        self._head()
        self._file.close()

    def release(self) -> None:
        release(self._file)


class _Xyz:
    """Text: x, y, z and perhaps red, green, blue."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ascii")

    def add(self, points: Points, colours: Colours | None) -> None:
        table = points if colours is None else np.hstack([points, colours])
        form = ["%.3f"] * 3 + ["%d"] * (0 if colours is None else 3)
        np.savetxt(self._file, table, fmt=form)

    def close(self) -> None:
        self._file.close()

    def release(self) -> None:
        release(self._file)
