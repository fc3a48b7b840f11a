"""Objects of xarray as scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.errors import UsageError
from demiurge.layers import layer, recognise
from demiurge.paths import Labelled, RasterLike
from demiurge.scene.arrays import spatial_variables
from demiurge.scene.grid import Bounds
from demiurge.scene.open import scene_from_files
from demiurge.scene.options import NoData
from demiurge.scene.scene import Scene


def scene_from_xarray(
    data: Any,
    *,
    layers: Mapping[str, Any] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    extent: str | Bounds | GeoBox | None = None,
    name: str = "",
    nodata: NoData | None = None,
) -> Scene:
    """Open arrays of xarray as a scene, with the checks of files.

    Arrays are read by window, also those of Dask. Their CRS, transform and no data are those of
    rioxarray's accessors; units are in ``attrs["units"]``, as rioxarray reads them from files.

    Parameters
    ----------
    data
        A Dataset whose variables are layers, a mapping of layer to DataArray or file, or a
        DataArray of the layer that its name says. Any grids and CRSs.
    layers
        By layer, the name of its variable in the Dataset, or a DataArray or file. If given, no
        other variable is used.
    gsd, crs, extent, nodata
        As of :func:`demiurge.scene_from_files`.
    name
        Name of the scene; the title of the Dataset if empty.

    Returns
    -------
    The scene. Variables that are no layers are left out, and its notes name them.

    Raises
    ------
    UsageError, ResourceError, DataError
        For unknown layers, arrays without CRS or coordinates, layers that do not overlap, and
        values that are probably no data.
    """
    named, unused = _named(data, layers)
    name = name or str(getattr(data, "attrs", {}).get("title", "") or "array")
    scene = scene_from_files(named, gsd=gsd, crs=crs, extent=extent, name=name, nodata=nodata)
    if not unused:
        return scene
    note = f"not used: {', '.join(unused)}, which no layer is called"
    return replace(scene, notes=(*scene.notes, note))


def _named(data: Any, layers: Mapping[str, Any] | None) -> tuple[dict[str, RasterLike], list[str]]:
    """Return DataArrays or files by layer, and the names of variables that are no layers."""
    if isinstance(data, Mapping) and not isinstance(data, Labelled):
        variables: dict[str, Any] = {str(n): v for n, v in data.items()}
    elif hasattr(data, "data_vars"):
        variables = spatial_variables(data)
    elif isinstance(data, Labelled):
        variables = {str(getattr(data, "name", None) or "array"): data}
    else:
        raise UsageError(
            f"a source of type {type(data).__name__} cannot be read",
            "give a Dataset, a DataArray, or a mapping of layer to DataArray",
        )
    if layers is not None:
        return {layer(n).name: _chosen(variables, v) for n, v in layers.items()}, []
    known = {n: recognise(n) for n in variables}
    named: dict[str, RasterLike] = {}
    for n, found in known.items():
        if found in named:
            raise UsageError(
                f"two variables are layer '{found}'", f"name one: layers={{'{found}': …}}"
            )
        if found is not None:
            named[found] = variables[n]
    if not named:
        raise UsageError(
            f"no layer is recognised among the variables ({', '.join(variables)})",
            f"name them, such as layers={{'dsm': '{next(iter(variables), 'height')}'}}",
        )
    return named, [n for n, found in known.items() if found is None]


def _chosen(variables: Mapping[str, Any], value: Any) -> RasterLike:
    if isinstance(value, str) and value in variables:
        chosen: RasterLike = variables[value]
        return chosen
    if isinstance(value, str) and variables and not _is_path(value):
        raise UsageError(
            f"there is no variable '{value}'", f"the variables are {', '.join(variables)}"
        )
    return value  # type: ignore[no-any-return]


def _is_path(text: str) -> bool:
    return any(sign in text for sign in "/.:")
