"""Writers of meshes in blocks: glTF binary and Wavefront OBJ."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Indices
from demiurge.errors import ResourceError
from demiurge.exports.clouds import release

Points = npt.NDArray[np.float64]

_ARRAY_BUFFER, _ELEMENT_BUFFER, _FLOAT, _UINT = 34962, 34963, 5126, 5125
#: Limit of the bytes of vertices and triangles; the file with header and texture has at most 2³².
_GLB_LIMIT = 2**32 - 2**26


class MeshWriter(Protocol):
    """Writer of a mesh; closed once."""

    def add(self, points: Points, uv: npt.NDArray[np.float32], faces: Indices) -> None:
        """Write a block.

        Parameters
        ----------
        points
            (vertices, 3): east, north, up in metres from the origin.
        uv
            (vertices, 2): texture coordinates from the upper left, 0 … 1.
        faces
            (triangles, 3): indices of the block's vertices.
        """

    def close(self) -> None:
        """Finish the file."""

    def release(self) -> None:
        """Close open files, finished or not."""


def mesh_writer(
    paths: Sequence[Path], kind: str, about: dict[str, Any], picture: bytes | None
) -> MeshWriter:
    """Open a mesh for writing.

    Parameters
    ----------
    paths
        Files to write: the mesh and, for an OBJ with a picture, its material and picture. The
        files refer to each other by names derived from ``about["name"]``.
    kind
        ``glb`` or ``obj``.
    about
        ``name``, ``crs`` and ``origin``, stored in the file.
    picture
        JPEG of the texture, or None.
    """
    return _Glb(paths[0], about, picture) if kind == "glb" else _Obj(paths, about, picture)


class _Glb:
    """glTF 2.0 binary: x east, y up, z south, in metres from the origin stored in ``extras``."""

    def __init__(self, path: Path, about: dict[str, Any], picture: bytes | None) -> None:
        self._path, self._about, self._picture = path, about, picture
        self._parts: list[IO[bytes]] = [
            tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
            for _ in range(3)
        ]
        self._vertices = self._indices = 0
        self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)

    def add(self, points: Points, uv: npt.NDArray[np.float32], faces: Indices) -> None:
        east, north, up = points.T
        turned = np.stack([east, up, -north], axis=1).astype("<f4")
        self._low = np.minimum(self._low, turned.min(axis=0))
        self._high = np.maximum(self._high, turned.max(axis=0))
        self._parts[0].write(turned.tobytes())
        self._parts[1].write(uv.astype("<f4").tobytes())
        self._parts[2].write((faces + self._vertices).astype("<u4").tobytes())
        self._vertices += len(points)
        self._indices += faces.size
        if sum(self._sizes()) >= _GLB_LIMIT:
            raise ResourceError(
                f"{self._about['name']}: a GLB file has at most 4 GiB", "allow a larger --thin"
            )

    def _sizes(self) -> list[int]:
        return [12 * self._vertices, 8 * self._vertices, 4 * self._indices]

    def close(self) -> None:
        sizes = self._sizes()
        picture = self._picture or b""
        padded = picture + b"\0" * (-len(picture) % 4)
        head = json.dumps(self._scene(sizes, len(picture))).encode()
        head += b" " * (-len(head) % 4)
        body = sum(sizes) + len(padded)
        total = 12 + 8 + len(head) + 8 + body
        with self._path.open("wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, total))
            file.write(struct.pack("<I4s", len(head), b"JSON") + head)
            file.write(struct.pack("<I4s", body, b"BIN\0"))
            for part in self._parts:
                part.seek(0)
                shutil.copyfileobj(part, file)
            file.write(padded)

    def release(self) -> None:
        for part in self._parts:
            part.close()

    def _scene(self, sizes: list[int], picture: int) -> dict[str, Any]:
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        views: list[dict[str, Any]] = [
            {"buffer": 0, "byteOffset": starts[i], "byteLength": sizes[i], "target": target}
            for i, target in enumerate((_ARRAY_BUFFER, _ARRAY_BUFFER, _ELEMENT_BUFFER))
        ]
        material: dict[str, Any] = {
            "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        }
        scene: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "demiurge"},
            "scene": 0,
            "scenes": [{"nodes": [0], "extras": self._about}],
            "nodes": [{"mesh": 0, "name": self._about["name"]}],
            "meshes": [
                {
                    "primitives": [
                        {
                            "attributes": {"POSITION": 0, "TEXCOORD_0": 1},
                            "indices": 2,
                            "material": 0,
                        }
                    ]
                }
            ],
            "materials": [material],
            "accessors": [
                {"bufferView": 0, "componentType": _FLOAT, "count": self._vertices,
                 "type": "VEC3", "min": self._low.tolist(), "max": self._high.tolist()},
                {"bufferView": 1, "componentType": _FLOAT, "count": self._vertices,
                 "type": "VEC2"},
                {"bufferView": 2, "componentType": _UINT, "count": self._indices,
                 "type": "SCALAR"},
            ],
            "bufferViews": views,
            "buffers": [{"byteLength": sum(sizes) + picture + -picture % 4}],
        }  # fmt: skip
        if picture:
            views.append({"buffer": 0, "byteOffset": starts[3], "byteLength": picture})
            scene["images"] = [{"bufferView": 3, "mimeType": "image/jpeg"}]
            scene["textures"] = [{"source": 0}]
            material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
        return scene


class _Obj:
    """Wavefront OBJ: z up, in metres from an origin that is stored as a comment."""

    def __init__(self, paths: Sequence[Path], about: dict[str, Any], picture: bytes | None) -> None:
        name = Path(about["name"])
        self._file = paths[0].open("w", encoding="utf-8")
        place = " ".join(f"{v:.3f}" for v in about["origin"])
        self._file.write(f"# origin {place}\n# crs {' '.join(about['crs'].split())}\n")
        if picture is not None:
            _, material, image = paths
            image.write_bytes(picture)
            text = f"newmtl image\nKd 1 1 1\nmap_Kd {name.stem}.jpg\n"
            material.write_text(text, encoding="utf-8")
            self._file.write(f"mtllib {name.stem}.mtl\nusemtl image\n")
        self._vertices = 0

    def add(self, points: Points, uv: npt.NDArray[np.float32], faces: Indices) -> None:
        np.savetxt(self._file, points, fmt="v %.3f %.3f %.3f")
        # Texture rows run upward in OBJ, downward in glTF.
        np.savetxt(self._file, np.stack([uv[:, 0], 1 - uv[:, 1]], 1), fmt="vt %.6f %.6f")
        numbers = np.repeat(faces + self._vertices + 1, 2, axis=1)
        np.savetxt(self._file, numbers, fmt="f %d/%d %d/%d %d/%d")
        self._vertices += len(points)

    def close(self) -> None:
        self._file.close()

    def release(self) -> None:
        release(self._file)
