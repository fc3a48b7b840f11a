"""Cameras of raw images: from tags or side files, with pointing corrections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demiurge.errors import DataError, UsageError
from demiurge.layers import PANCHROMATIC
from demiurge.paths import PathLike
from demiurge.scene.asp import adjusted_camera, find_adjust_file
from demiurge.scene.camera import Camera, PixelShift
from demiurge.scene.files import open_raster
from demiurge.scene.rpc import make_rpc, read_rpc

_SIDES = dict(zip(PANCHROMATIC, ("left", "right"), strict=True))


@dataclass(frozen=True)
class RawSettings:
    """How raw images become orthoimages.

    Attributes
    ----------
    rpcs
        Side files of RPCs by layer; they replace the tags of the image.
    adjust_files
        ASP's ``.adjust`` files by layer; those next to the images if not given.
    shift_left
        Pixels added to the image coordinates of the left camera.
    adjust
        Measure the offset of the two orthoimages and shift the left camera by it.
    occlusions
        Pixels that the DSM hides from the sensor become no data.
    """

    rpcs: Mapping[str, PathLike] = field(default_factory=dict)
    adjust_files: Mapping[str, PathLike] = field(default_factory=dict)
    shift_left: PixelShift | None = None
    adjust: bool = False
    occlusions: bool = True

    @property
    def given(self) -> list[str]:
        """Return the options that differ from their defaults."""
        options = [f"--{_SIDES.get(n, n)}-rpc" for n in self.rpcs]
        options += [f"--{_SIDES.get(n, n)}-adjust" for n in self.adjust_files]
        options += ["--shift-left"] if self.shift_left is not None else []
        options += ["--adjust"] if self.adjust else []
        return options if self.occlusions else [*options, "--no-occlusions"]

    @property
    def files(self) -> list[PathLike]:
        """Return the files that are read in addition to the images."""
        return [*self.rpcs.values(), *self.adjust_files.values()]


def raw_settings(
    *,
    rpc: Mapping[str, PathLike] | None = None,
    left_rpc: PathLike | None = None,
    right_rpc: PathLike | None = None,
    left_adjust: PathLike | None = None,
    right_adjust: PathLike | None = None,
    shift_left: PixelShift | None = None,
    adjust: bool = False,
    occlusions: bool = True,
) -> RawSettings:
    """Return settings from the options of commands."""
    rpcs = zip(PANCHROMATIC, (left_rpc, right_rpc), strict=True)
    adjust_files = zip(PANCHROMATIC, (left_adjust, right_adjust), strict=True)
    return RawSettings(
        {**(rpc or {}), **{name: file for name, file in rpcs if file is not None}},
        {name: file for name, file in adjust_files if file is not None},
        None if shift_left is None else PixelShift(*shift_left),
        adjust,
        occlusions,
    )


def camera_of(path: str, name: str, settings: RawSettings) -> tuple[Camera, list[str]] | None:
    """Return the camera of a raw image and notes on it; None for other rasters.

    Parameters
    ----------
    path
        A raster: raw if it has no grid, but RPCs in its tags or in a side file.
    name
        Its layer.

    Raises
    ------
    ResourceError, DataError
        If a file cannot be read, or RPCs or adjustments are incomplete or invalid.
    UsageError
        If settings for raw images are given for a raster with a grid.
    """
    rpc_file = settings.rpcs.get(name)
    with open_raster(path) as dataset:
        shape, tags = dataset.shape, dataset.rpcs
        if dataset.crs is not None or (dataset.gcps[0] and rpc_file is None):
            _refuse_grid(path, name, settings)
            return None
    if rpc_file is not None:
        camera = Camera(read_rpc(str(rpc_file)))
    elif tags is not None:
        camera = Camera(make_rpc(_values(tags), path))
    else:
        return None
    notes = []
    adjust_file = settings.adjust_files.get(name)
    if adjust_file is None:
        adjust_file = find_adjust_file(path, None if rpc_file is None else str(rpc_file))
    if adjust_file is not None:
        camera = adjusted_camera(camera, str(adjust_file))
        notes.append(f"{name}: its camera is adjusted as in {adjust_file}")
    if name == PANCHROMATIC[0] and settings.shift_left is not None:
        cols, rows = settings.shift_left
        if not (abs(rows) < shape[0] and abs(cols) < shape[1]):
            raise UsageError(
                f"--shift-left {cols:g},{rows:g} is larger than {path}, which has {shape[1]} "
                f"columns and {shape[0]} rows",
                "give columns, rows in pixels of the raw image",
            )
        camera = camera.shifted(rows, cols)
    return camera, notes


def _values(rpc: Any) -> dict[str, Any]:
    """Return the values of rasterio's ``RPC`` by name."""
    names = ("line", "samp")
    values = {f"{n}_{part}_coeff": getattr(rpc, f"{n}_{part}_coeff") for n in names
              for part in ("num", "den")}  # fmt: skip
    for name in (*names, "lat", "long", "height"):
        for part in ("off", "scale"):
            values[f"{name}_{part}"] = getattr(rpc, f"{name}_{part}")
    return values


def _refuse_grid(path: str, name: str, settings: RawSettings) -> None:
    """Raise if settings for a raw image are given for a georeferenced one."""
    side = _SIDES[name]
    options = [
        option
        for option, given in (
            (f"an RPC file (--{side}-rpc, or --rpc of prepare)", name in settings.rpcs),
            (f"--{side}-adjust", name in settings.adjust_files),
            ("--shift-left", side == "left" and settings.shift_left is not None),
        )
        if given
    ]
    if options:
        raise UsageError(
            f"{path}: is georeferenced, but {options[0]} is for raw images",
            "leave it out, or give the raw image",
        )


def require_applicable(
    settings: RawSettings, files: Mapping[str, PathLike], raws: Mapping[str, Any]
) -> None:
    """Raise if settings apply to no image.

    Parameters
    ----------
    files
        All files by layer.
    raws
        The raw images among them, by layer.

    Raises
    ------
    UsageError
        For an RPC or ``.adjust`` file of an image that is not given or not raw, and for settings
        without the raw images that they need.
    """
    for name, file in (*settings.rpcs.items(), *settings.adjust_files.items()):
        if name not in _SIDES:
            raise UsageError(
                f"{file} is given for layer '{name}', which cannot be a raw image",
                f"give it for {' or '.join(_SIDES)}",
            )
        if name not in files:
            raise UsageError(
                f"{file} is given for layer '{name}', but its image is not",
                f"give the raw image, as --{_SIDES[name]} or {name}=FILE",
            )
    if settings.given and "dsm" not in files:
        raise UsageError("options for raw images are given without a DSM", "give a DSM")
    if settings.adjust and len(raws) != len(_SIDES):
        raise UsageError(
            "--adjust needs two raw images with RPCs", "give both, or leave out --adjust"
        )
    missing = settings.shift_left is not None and PANCHROMATIC[0] not in raws
    if missing or (settings.given and not raws):
        option = "--shift-left" if missing else settings.given[0]
        raise UsageError(
            f"{option} is given, but {'the left' if missing else 'no'} image is a raw image "
            "with RPCs",
            "leave it out, or give the raw image",
        )


def require_rpcs(path: str, name: str) -> None:
    """Raise if a raster given as an ortho is not placed on the ground in any way."""
    with open_raster(path) as dataset:
        placed = dataset.crs is not None or not dataset.transform.is_identity
        placed = placed or dataset.gcps[0] or dataset.rpcs is not None
    if not placed:
        raise DataError(
            f"{path}: has no coordinate reference system and no RPCs",
            f"give the file of its RPCs with --{_SIDES[name]}-rpc FILE (prepare: --rpc "
            f"{name}=FILE), or georeference it",
        )
