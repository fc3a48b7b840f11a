"""Point clouds, written as they come: LAS, LAZ, PLY, XYZ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Colours = npt.NDArray[np.uint8]


class CloudWriter(Protocol):
    """Takes points and is closed once."""

    def add(self, points: Points, colours: Colours | None) -> None:
        """Write points (count, 3) in the CRS and metres, and their colours."""

    def close(self) -> None:
        """Finish the file."""


def cloud_writer(
    path: Path, kind: str, crs: Any, origin: tuple[float, float, float], coloured: bool
) -> CloudWriter:
    """Open a point cloud for writing.

    Parameters
    ----------
    kind
        ``las``, ``laz``, ``ply`` or ``xyz``.
    crs
        An odc-geo CRS; LAS and PLY keep it.
    origin
        About which coordinates are stored.
    """
    if kind in ("las", "laz"):
        return _Las(path, kind, crs, origin, coloured)
    if kind == "ply":
        return _Ply(path, crs, origin, coloured)
    return _Xyz(path)


class _Las:
    """LAS 1.4, millimetres, CRS as WKT."""

    def __init__(
        self, path: Path, kind: str, crs: Any, origin: tuple[float, float, float], coloured: bool
    ) -> None:
        import laspy

        header = laspy.LasHeader(point_format=7 if coloured else 6, version="1.4")
        header.offsets, header.scales = np.array(origin), np.full(3, 0.001)
        header.add_crs(crs.proj)
        self._laspy, self._header = laspy, header
        self._file = laspy.open(str(path), "w", header=header, do_compress=kind == "laz")

    def add(self, points: Points, colours: Colours | None) -> None:
        record = self._laspy.ScaleAwarePointRecord.zeros(len(points), header=self._header)
        record.x, record.y, record.z = points.T
        if colours is not None:
            # LAS colours have 16 bits.
            record.red, record.green, record.blue = colours.T.astype(np.uint16) * 257
        self._file.write_points(record)

    def close(self) -> None:
        self._file.close()


class _Ply:
    """Binary PLY; coordinates are float32 about an origin that a comment tells."""

    def __init__(
        self, path: Path, crs: Any, origin: tuple[float, float, float], coloured: bool
    ) -> None:
        self._origin = np.array(origin)
        fields = [(axis, "<f4") for axis in "xyz"]
        lines = ["property float x", "property float y", "property float z"]
        if coloured:
            fields += [(name, "u1") for name in ("red", "green", "blue")]
            lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
        self._type = np.dtype(fields)
        place = " ".join(f"{v:.3f}" for v in origin)
        wkt = " ".join(crs.to_wkt().split())
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
