"""What heights are measured from: read from a CRS, compared between layers."""

from __future__ import annotations

from typing import Any

from demiurge.errors import DataError
from demiurge.scene.spec import Vertical


def vertical_of(crs: Any) -> Vertical:
    """Return the vertical reference that a CRS (odc-geo or pyproj) declares.

    A compound CRS carries a vertical part: orthometric (or whatever it is called). A
    three-dimensional one means heights above the ellipsoid. A flat CRS says nothing.

    >>> import pyproj
    >>> str(vertical_of(pyproj.CRS("EPSG:4326+5773")))
    'orthometric (EGM96 height)'
    """
    proj = getattr(crs, "proj", crs)
    for part in proj.sub_crs_list:
        if part.is_vertical:
            name = part.name
            kind = "ellipsoidal" if "ellipsoid" in name.lower() else "orthometric"
            return Vertical(reference=kind, datum=name)
    if len(proj.axis_info) == 3:
        datum = proj.ellipsoid.name if proj.ellipsoid is not None else ""
        return Vertical(reference="ellipsoidal", datum=datum)
    return Vertical()


def agree(named: dict[str, Vertical]) -> Vertical:
    """Return the one reference that all height layers share; unknown ones join the known.

    Parameters
    ----------
    named
        Vertical reference by file or layer name.

    Raises
    ------
    DataError
        If two known references differ.
    """
    known = {name: v for name, v in named.items() if v.reference != "unknown"}
    if not known:
        return Vertical()
    (first, reference), *rest = known.items()
    for name, other in rest:
        different_datum = (
            reference.reference == "orthometric"
            and reference.datum
            and other.datum
            and reference.datum != other.datum
        )
        if other.reference != reference.reference or different_datum:
            raise DataError(
                f"heights of {first} are {reference}, those of {name} are {other}",
                "bring them to one vertical reference, for example with gdalwarp -t_srs",
            )
    return reference
