"""When the images of a scene were taken."""

from __future__ import annotations

import datetime as dt

from demiurge.layers import Kind
from demiurge.scene.paths import open_raster
from demiurge.scene.scene import Scene

Span = tuple[dt.datetime, dt.datetime]

#: GDAL's name for the time in the metadata that satellite images come with.
_TAG, _FORM = "ACQUISITIONDATETIME", "%Y-%m-%d %H:%M:%S"


def acquired(scene: Scene) -> Span | None:
    """Return the first and last moment (UTC) at which images were taken, or None if unknown.

    ``scene.yaml`` tells it, or the metadata of the images. The time stamps of files do not count:
    they are those of processing.
    """
    if scene.spec is not None and scene.spec.acquired:
        days = scene.spec.acquired
        return _at(min(days), dt.time.min), _at(max(days), dt.time(23, 59, 59))
    paths = {s.path for s in scene.sources.values() if s.layer.kind is Kind.IMAGE}
    found = [_tagged(path) for path in sorted(paths)]
    known = [moment for moment in found if moment is not None]
    return (min(known), max(known)) if known and len(known) == len(found) else None


def _at(day: dt.date, time: dt.time) -> dt.datetime:
    return dt.datetime.combine(day, time, dt.UTC)


def _tagged(path: str) -> dt.datetime | None:
    with open_raster(path) as dataset:
        text = dataset.tags(ns="IMAGERY").get(_TAG, "")
    try:
        return dt.datetime.strptime(text, _FORM).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
