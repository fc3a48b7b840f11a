"""Transform heights between vertical references: separations of PROJ on a lattice."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Values
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.layers import layer
from demiurge.paths import PathLike
from demiurge.scene.crs import proj_of, transform, unwrapped
from demiurge.scene.grid import pixel_size
from demiurge.scene.spec import REFERENCE, GeoidStep, Vertical

#: Short names of references, and their EPSG codes.
NAMED = {"egm96": 5773, "egm2008": 3855, "navd88": 5703, "ign69": 5720, "rh2000": 5613}
ELLIPSOIDAL = "ellipsoidal"
#: Largest spacing of the lattice in pixels and in metres.
_PIXELS, _METRES = 32, 500.0
#: Largest error in metres between lattice points. A kink of the grid between two points may
#: deviate twice as much as their centre shows.
_TOLERANCE = 0.0005
#: Points that are transformed at once.
_CHUNK = 2**20


@dataclass(frozen=True)
class VerticalChange:
    """References that the user declares, and the one to transform to.

    Attributes
    ----------
    to
        The reference of the result; None declares only.
    declared
        References by layer.
    grids
        Local files of geoid heights by reference; the key ``""`` counts for all.
    network
        Whether PROJ may download grids; None for its own setting.
    """

    to: str | None = None
    declared: Mapping[str, str] | None = None
    grids: Mapping[str, PathLike] | None = None
    network: bool | None = None

    @property
    def given(self) -> bool:
        """Return whether anything is to be declared or transformed."""
        return bool(self.to or self.declared)

    def of_layers(self) -> VerticalChange:
        """Return the change without what is declared of the reference of an alignment."""
        named = {n: text for n, text in (self.declared or {}).items() if n != REFERENCE}
        return replace(self, declared=named)


def read_assignments(option: str, example: str, texts: Iterable[str]) -> dict[str, str]:
    """Read texts of the form ``LAYER=REFERENCE``.

    Raises
    ------
    UsageError
        For a text without both parts, and for unknown layers.
    """
    found = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not (name and value):
            raise UsageError(f"{option} {text}: names no layer and reference", f"write {example}")
        found[name if name == REFERENCE else layer(name).name] = value
    return found


def read_grids(texts: Iterable[str]) -> dict[str, str]:
    """Read texts of the form ``FILE`` or ``REFERENCE=FILE``."""
    found = {}
    for text in texts:
        name, equals, file = text.partition("=")
        found[_key(name) if equals else ""] = (file if equals else name).strip()
    return found


def _key(text: str) -> str:
    return text.strip().lower()


@lru_cache(maxsize=32)
def reference_of(text: str) -> tuple[Vertical, Any]:
    """Return a reference and its vertical CRS (pyproj; None for ellipsoidal heights).

    Parameters
    ----------
    text
        ``ellipsoidal``, a key of :data:`NAMED`, ``EPSG:n``, or the name of a vertical CRS.

    Raises
    ------
    UsageError
        For an unknown reference, and for one whose heights are not in metres, upward.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if _key(text) == ELLIPSOIDAL:
        return Vertical(reference="ellipsoidal"), None
    code = NAMED.get(_key(text))
    try:
        crs = CRS.from_epsg(code) if code else CRS.from_user_input(text)
    except CRSError:
        crs = None
    if crs is None or not crs.is_vertical or crs.is_compound:
        names = ", ".join((ELLIPSOIDAL, *NAMED))
        raise UsageError(
            f"'{text}' is not a vertical reference",
            f"write one of {names}, or the EPSG code of a vertical CRS, such as EPSG:7837",
        )
    axis = crs.axis_info[0]
    if abs(axis.unit_conversion_factor - 1) > 1e-9 or axis.direction != "up":
        raise UsageError(
            f"'{text}' is {crs.name}, in {axis.unit_name}, {axis.direction}; heights of a scene "
            "are metres, upward",
            "name the reference in metres, such as EPSG:5703 for EPSG:6360",
        )
    return Vertical(reference="orthometric", datum=crs.name), crs


def vertical_crs(vertical: Vertical, where: str) -> Any:
    """Return the vertical CRS (pyproj) of a known reference; None for ellipsoidal heights.

    Raises
    ------
    DataError
        If its datum is not named, or is not a vertical CRS that PROJ knows.
    """
    if vertical.reference == "ellipsoidal":
        return None
    try:
        return reference_of(vertical.datum)[1]
    except UsageError:
        raise DataError(
            f"{where}: its heights are {vertical}, which is no vertical CRS that PROJ knows",
            "set the CRS with gdal_edit.py -a_srs, such as EPSG:32633+3855",
        ) from None


def compound(crs: Any, vertical: Any) -> Any:
    """Return the compound CRS (pyproj) of a horizontal and a vertical CRS, or the 3-D CRS.

    Parameters
    ----------
    vertical
        None for ellipsoidal heights.
    """
    from pyproj.crs import CompoundCRS

    flat = proj_of(crs).to_2d()
    flat = next((p for p in flat.sub_crs_list if not p.is_vertical), flat)
    return flat.to_3d() if vertical is None else CompoundCRS(
        f"{flat.name} + {vertical.name}", [flat, vertical]
    )  # fmt: skip


def separation(
    crs: Any, vertical: Any, change: VerticalChange, area: tuple[float, ...]
) -> tuple[Any, GeoidStep]:
    """Return the transformer (pyproj) of longitude, latitude and height to ellipsoidal height.

    Parameters
    ----------
    crs
        Horizontal CRS of the scene; its datum is that of the ellipsoidal heights.
    vertical
        Vertical CRS of the heights.
    area
        West, south, east, north in degrees.

    Returns
    -------
    The transformer, and what ``scene.yaml`` records of it.

    Raises
    ------
    ResourceError
        If a grid is missing. Transformations without it are not used, however PROJ ranks them.
    DataError
        If PROJ knows no transformation.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError
    from pyproj.transformer import AreaOfInterest, TransformerGroup

    file = _local_grid(vertical, change)
    if file is not None:
        try:
            step = GeoidStep(
                operation=f"grid {file.name}", definition=_pipeline(file.name), grids=[file.name]
            )
            return Transformer.from_pipeline(_pipeline(file)), step
        except ProjError as error:
            raise DataError(
                f"{file}: is not a geoid grid that PROJ can read ({error})",
                "give a GTX file or a GeoTIFF of geoid heights in degrees",
            ) from None
    geodetic = compound(proj_of(crs).geodetic_crs, None).to_2d()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # missing grids are refused below
        group = TransformerGroup(
            compound(geodetic, vertical), geodetic.to_3d(), always_xy=True,
            area_of_interest=AreaOfInterest(*area), allow_ballpark=False,
        )  # fmt: skip
    if not group.best_available or not group.transformers:
        raise _missing(vertical, group.unavailable_operations, geodetic)
    best = group.transformers[0]
    grids = [grid.short_name for part in best.operations or () for grid in part.grids]
    return best, GeoidStep(operation=best.description, definition=best.definition, grids=grids)


def _local_grid(vertical: Any, change: VerticalChange) -> Path | None:
    for name, file in (change.grids or {}).items():
        if name == "" or reference_of(name)[1] == vertical:
            if not Path(file).is_file():
                raise ResourceError(f"--geoid-grid {file}: there is no such file", "check the path")
            return Path(file).absolute()
    return None


def _pipeline(file: Path | str) -> str:
    return (
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
        f'+step +proj=vgridshift +grids="{file}" +multiplier=1 '
        "+step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )


def _missing(vertical: Any, operations: Any, geodetic: Any) -> ResourceError | DataError:
    grids = [g for op in operations for g in op.grids if not g.available]
    if not grids:
        return DataError(
            f"PROJ knows no transformation from {vertical.name} to heights above the ellipsoid "
            f"of {geodetic.name}",
            "give a file of geoid heights with --geoid-grid FILE.tif",
        )
    name = grids[0].short_name
    url = grids[0].url or "the grid from the owner of the reference (PROJ does not offer it)"
    return ResourceError(
        f"{vertical.name}: the geoid grid {name} is not installed, and without it heights "
        "would be wrong by metres",
        f"download {url} and name it with --geoid-grid {name} (or put it into a folder that "
        "PROJ_DATA names), or allow the download with --proj-network",
    )


def lattice(
    shape: tuple[int, int], step: int, offset: Callable[[Values, Values], Values]
) -> Values:
    """Return offsets on a lattice from which bilinear interpolation is exact to 1 mm.

    Parameters
    ----------
    shape
        Rows and columns of the grid.
    step
        Largest spacing in pixels; halved until the error between the points is small.
    offset
        Returns offsets in metres, float64 (n,), at rows and columns, float64 (n,) each.

    Returns
    -------
    float64 (rows, columns), at least 2 each. The first and last points are the centres of the
    first and last pixels; NaN where there is no offset.
    """
    while True:
        rows, cols = (np.linspace(0, max(n - 1, 1), 1 + -(-max(n - 1, 1) // step)) for n in shape)
        values = _on(rows, cols, offset)
        middle_rows, middle_cols = (v[:-1] + np.diff(v) / 2 for v in (rows, cols))
        error = 0.0
        for r, c in ((middle_rows, middle_cols), (rows, middle_cols), (middle_rows, cols)):
            miss = np.abs(_on(r, c, offset) - interpolate(values, shape, r, c))
            error = max(error, float(np.max(miss, initial=0.0, where=np.isfinite(miss))))
        if step == 1 or error <= _TOLERANCE:
            return values
        step = max(1, step // 2)


def _on(rows: Values, cols: Values, offset: Callable[[Values, Values], Values]) -> Values:
    r, c = np.meshgrid(rows, cols, indexing="ij")
    flat = [
        offset(a, b)
        for a, b in zip(
            np.array_split(r.ravel(), -(-r.size // _CHUNK)),
            np.array_split(c.ravel(), -(-r.size // _CHUNK)),
            strict=True,
        )
    ]
    return np.concatenate(flat).reshape(r.shape)


def interpolate(values: Values, shape: tuple[int, int], rows: Values, cols: Values) -> Values:
    """Interpolate a lattice bilinearly.

    Parameters
    ----------
    values, shape
        As :func:`lattice` returns and takes them.
    rows, cols
        float64 (rows,) and (columns,): pixel centres; fractions are allowed.

    Returns
    -------
    float64 (rows, columns) in metres; NaN where the lattice has none.
    """

    def split(pixels: Values, axis: int) -> tuple[Any, Values]:
        cells = values.shape[axis] - 1
        places = pixels * (cells / max(shape[axis] - 1, 1))
        cell = np.clip(np.floor(places).astype(int), 0, cells - 1)
        return cell, places - cell

    (i, v), (j, u) = split(rows, 0), split(cols, 1)
    upper = values[i][:, j] * (1 - u) + values[i][:, j + 1] * u
    lower = values[i + 1][:, j] * (1 - u) + values[i + 1][:, j + 1] * u
    return np.asarray(upper * (1 - v[:, None]) + lower * v[:, None])


def _area(grid: GeoBox, geodetic: Any) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a grid in degrees; west > east across 180°."""
    a: Any = grid.affine
    x, y = np.meshgrid(*(np.linspace(0, n, 9) for n in (grid.shape[1], grid.shape[0])))
    lon, lat = transform(a.c + a.a * x, a.f + a.e * y, grid.crs, geodetic)
    lon = unwrapped(lon, float(lon[4, 4]))
    west, east = (float(unwrapped(v, 0.0)) for v in (np.nanmin(lon), np.nanmax(lon)))
    return west, float(np.nanmin(lat)), east, float(np.nanmax(lat))


def height_offset(
    grid: GeoBox, source: Any, target: Any, change: VerticalChange
) -> tuple[Values, list[GeoidStep]]:
    """Return what is added to heights, on a lattice over a grid, and the steps it is made of.

    Parameters
    ----------
    source, target
        Vertical CRSs (pyproj); None for ellipsoidal heights.

    Raises
    ------
    ResourceError, DataError
        If a geoid grid is missing or does not cover the grid.
    """
    import pyproj.network

    if change.network is not None:
        pyproj.network.set_network_enabled(change.network)  # type: ignore[attr-defined]
    geodetic = proj_of(grid.crs).geodetic_crs
    affine: Any = grid.affine
    legs = [(sign, crs) for sign, crs in ((1.0, source), (-1.0, target)) if crs is not None]
    area = _area(grid, geodetic)
    if "" in (change.grids or {}) and len(legs) > 1:
        raise UsageError(
            "--geoid-grid names one file, but two references are orthometric",
            "name the reference of each file, such as --geoid-grid egm96=FILE.tif",
        )
    steps = [(sign, *separation(grid.crs, crs, change, area)) for sign, crs in legs]

    def offset(rows: Values, cols: Values) -> Values:
        x, y = (
            affine.c + affine.a * (cols + 0.5) + affine.b * (rows + 0.5),
            affine.f + affine.d * (cols + 0.5) + affine.e * (rows + 0.5),
        )  # fmt: skip
        lon, lat = transform(x, y, grid.crs, geodetic)
        total = np.zeros_like(lon)
        for sign, transformer, _ in steps:
            part = np.asarray(transformer.transform(lon, lat, np.zeros_like(lon))[2])
            total += sign * np.where(np.isfinite(part), part, np.nan)
        return total

    size = (int(grid.shape[0]), int(grid.shape[1]))
    spacing = max(1, min(_PIXELS, int(_METRES / pixel_size(grid))))
    values = lattice(size, spacing, offset)
    used = [step for _, _, step in steps]
    if not np.isfinite(values).all():
        names = ", ".join(step.operation for step in used)
        raise DataError(
            f"the geoid grid does not cover the scene ({names})",
            "give a grid that covers it with --geoid-grid FILE.tif, or reduce --extent",
        )
    return values, used
