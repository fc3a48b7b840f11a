"""Camera adjustments of the Ames Stereo Pipeline (ASP): ``.adjust`` files of RPC cameras.

A file contains a translation (x, y, z in metres of ECEF), a rotation (quaternion w, x, y, z), and
optionally an offset of the pixels (x, y) and a scale. ASP's manual defines the motion of a point of
the camera as R (P - C) + C + T, where C is the camera centre of the first pixel
(``bundle_adjust``, "Format of .adjust files"; ``AdjustedCameraModel`` of VisionWorkbench). An RPC
camera has no centre: ASP takes a point of the line of sight 100 km above the ground
(``RPCModel::point_and_dir``). Older versions took a point 10 km above it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.paths import local_file
from demiurge.scene.camera import Camera
from demiurge.scene.ecef import CameraMotion, Vector, rotation_of, to_ecef

#: Share of the height scale, and limits in metres, of the height step of a line of sight.
_STEP, _STEP_LIMITS = 0.9, (0.1, 50.0)
#: Length in metres of the line of sight from the upper height to ASP's centre of an RPC camera.
_DISTANCE = 100_000.0
#: Largest error of the norm of a quaternion.
_NORM_ERROR = 1e-6
_SUFFIX = ".adjust"


def find_adjust_file(image: str, rpc: str | None = None) -> Path | None:
    """Return the ``.adjust`` file next to an image, or next to the file of its RPCs.

    ASP names it after the camera file, or after the image without one: ``run-left.adjust``, where
    ``run`` is the prefix of the outputs. RPCs of ``bundle_adjust --save-adjusted-rpc`` contain the
    adjustment already: nothing is searched for them.

    Raises
    ------
    UsageError
        If there are several.
    """
    if rpc is not None and ".adjusted_rpc" in Path(rpc).name:
        return None
    for name in (rpc, image):
        file = None if name is None else local_file(name)
        if file is None or not file.parent.is_dir():
            continue
        adjust_files = sorted(
            path for path in file.parent.glob(f"*{_SUFFIX}") if _belongs(path, file.stem)
        )
        if len(adjust_files) > 1:
            first, second = (path.name for path in adjust_files[:2])
            raise UsageError(
                f"{image}: has several camera adjustments, such as {first} and {second}",
                "name the file with --left-adjust or --right-adjust",
            )
        if adjust_files:
            return adjust_files[0]
    return None


def _belongs(path: Path, stem: str) -> bool:
    """Return whether an ``.adjust`` file is that of the image with this stem.

    ``run-upper-left.adjust`` is not that of ``left.tif`` if there is an ``upper-left.tif``.
    """
    parts = path.stem.split("-")
    tails = ["-".join(parts[first:]) for first in range(1, len(parts))]
    longer = [tail for tail in tails if len(tail) > len(stem)]
    others = (other for tail in longer for other in path.parent.glob(f"{tail}.*"))
    return stem in tails and not any(other.suffix != _SUFFIX for other in others)


def adjusted_camera(camera: Camera, path: str | Path) -> Camera:
    """Return an RPC camera with the adjustment in a file.

    Raises
    ------
    ResourceError, DataError
        If the file cannot be read, is invalid, or contains an adjustment that is not constant.
    """
    numbers = _read(path)
    if len(numbers) not in (7, 10) or not all(map(math.isfinite, numbers)):
        raise DataError(
            f"{path}: is not a camera adjustment of ASP",
            "name the .adjust file that bundle_adjust wrote for this image",
        )
    quaternion = numbers[3:7]
    norm = math.hypot(*quaternion)
    if abs(norm - 1) > _NORM_ERROR:
        raise DataError(f"{path}: its quaternion has a norm of {norm:g}, not 1", _AGAIN)
    offset = numbers[7:9] or [0.0, 0.0]
    if numbers[9:] not in ([], [1.0]):
        raise DataError(f"{path}: scales the image by {numbers[9]:g}", "give the original image")
    w, x, y, z = (value / norm for value in quaternion)
    still = (x, y, z) == (0, 0, 0)
    motion = CameraMotion(
        rotation_of(w, x, y, z),
        (0.0, 0.0, 0.0) if still else _centre(camera, str(path)),
        (numbers[0], numbers[1], numbers[2]),
    )
    return replace(camera, motion=motion).shifted(-offset[1], -offset[0])


_AGAIN = "write it again with bundle_adjust -t rpc"


def _read(path: str | Path) -> list[float]:
    """Return the numbers in an ``.adjust`` file."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be read ({error.strerror})", "check the path"
        ) from None
    if text.startswith("PIECEWISE"):
        raise DataError(
            f"{path}: contains piecewise adjustments, which RPC cameras do not have", _AGAIN
        )
    try:
        return [float(part) for part in text.split()]
    except ValueError:
        return []


def _centre(camera: Camera, path: str) -> Vector:
    """Return what ASP uses as the centre of an RPC camera, for the first pixel."""
    low, high = _STEP_LIMITS
    step = min(max(abs(float(camera.rpc.height_scale)) * _STEP, low), high)
    heights = float(camera.rpc.height_off) + np.array([step, -step])
    pixel = np.full(2, 0.5)
    lon, lat = Camera(camera.rpc).ground_of(pixel, pixel, heights)
    upper, lower = to_ecef(lon, lat, heights)
    down = (lower - upper) / np.linalg.norm(lower - upper)
    x, y, z = (float(value) for value in upper - down * _DISTANCE)
    if not math.isfinite(x + y + z):
        raise DataError(
            f"{path}: its rotation cannot be applied, because the RPCs have no solution at the "
            "first pixel",
            "check that the RPCs belong to the image",
        )
    return x, y, z
