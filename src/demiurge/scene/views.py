"""Directions to the sensors and to the sun of a scene: collection, comparison and description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.errors import ConfigError, UsageError
from demiurge.layers import PANCHROMATIC, Kind, layer
from demiurge.scene.camera import Direction, Pair, centre_of
from demiurge.scene.crs import true_north
from demiurge.scene.metadata import ImageMetadata, read_metadata
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.scene.spec import SceneSpec

#: Angle in degrees from which two statements on a direction contradict each other.
MAX_ANGLE = 3.0
#: Range of base-to-height ratios without a warning.
BASE_TO_HEIGHT = (0.1, 1.2)
#: Option of ``prepare`` by layer.
_OPTIONS = {"ortho_left": "--view-left", "ortho_right": "--view-right"}


@dataclass(frozen=True)
class Views:
    """Directions of a scene; azimuths are from grid north.

    Attributes
    ----------
    views
        Direction to the sensor by image, left first.
    sun
        Direction to the sun, at the left image if the two differ.
    notes
        Contradictions, one sentence each.
    """

    views: Mapping[str, Direction] = field(default_factory=dict)
    sun: Direction | None = None
    notes: tuple[str, ...] = ()


def view_layers(names: Iterable[str]) -> list[str]:
    """Return the layers that have a view: the orthos, left first, else the first image."""
    names = list(names)
    orthos = [name for name in PANCHROMATIC if name in names]
    return orthos or [name for name in names if layer(name).kind is Kind.IMAGE][:1]


def views_of_spec(spec: SceneSpec, where: str) -> dict[str, Direction]:
    """Return the views in a ``scene.yaml`` by layer.

    Raises
    ------
    ConfigError
        If there are more views than images.
    """
    names = view_layers(spec.layers)
    if set(names) & set(PANCHROMATIC) and len(spec.views) == len(PANCHROMATIC):
        names = list(PANCHROMATIC)
    if len(spec.views) > len(names):
        raise ConfigError(
            f"{where}: views: has {len(spec.views)} directions for {len(names)} images",
            "give one direction per image, left first",
        )
    pairs = zip(names, spec.views, strict=False)
    return {n: view for n, view in pairs if view is not None and n in spec.layers}


def views_for_spec(scene: Scene) -> dict[str, Any]:
    """Return the fields ``views`` and ``sun`` of a ``scene.yaml``; none that are unknown."""
    views = [_rounded(scene.views.get(name)) for name in view_layers(scene.sources)]
    fields = {} if scene.sun is None else {"sun": _rounded(scene.sun)}
    return {**fields, "views": views} if any(views) else fields


def _rounded(direction: Direction | None) -> Direction | None:
    if direction is None:
        return None
    return Direction(round(direction.azimuth, 3), round(direction.elevation, 3))


def collect_views(
    sources: Mapping[str, Source],
    grid: GeoBox,
    cameras: Mapping[str, Direction],
    given: Mapping[str, Direction],
    sun: Direction | None,
) -> Views:
    """Collect the directions of a scene: those given, else of cameras, else of metadata.

    Parameters
    ----------
    sources
        The scene's layers; metadata files are searched next to its images.
    grid
        The scene's grid.
    cameras
        Views of raw images by layer.
    given, sun
        Views by layer and the sun as given by the user. ``ortho_left`` also applies to the
        image of a scene without orthos.

    Raises
    ------
    UsageError
        If a view is given for an image that the scene does not have.
    """
    names = view_layers(sources)
    given = _by_layer(given, names)
    north = true_north(*centre_of(grid), grid.crs)
    metadata = {name: read_metadata(sources[name].path) for name in names}
    views, notes = {}, []
    for name in names:
        stated = _stated(name, metadata[name], north)
        known = [
            (f"{_OPTIONS.get(name, '--view-left')}", given.get(name)),
            ("its camera", cameras.get(name)),
            stated,
        ]
        best = next(((origin, view) for origin, view in known if view is not None), None)
        if best is None:
            continue
        views[name] = best[1]
        notes += [_contradiction(f"{name}: the view", best, other) for other in known]
        notes.append(_incidence_note(name, best, metadata[name]))
    suns = [
        ("--sun", sun),
        *((m.file, m.sun.turned(north)) for m in metadata.values() if m and m.sun),
    ]
    best = next(((origin, view) for origin, view in suns if view is not None), None)
    if best is not None:
        notes += [_contradiction("the sun", best, other) for other in suns]
    return Views(views, None if best is None else best[1], tuple(filter(None, notes)))


def _by_layer(given: Mapping[str, Direction], names: list[str]) -> dict[str, Direction]:
    """Return the given views by layer of the scene."""
    only = names[0] if names and not set(names) & set(PANCHROMATIC) else None
    layers = {"ortho_left": only} if only else {}
    result = {layers.get(name) or name: view for name, view in given.items()}
    for name in result:
        if name not in names:
            raise UsageError(
                f"{_OPTIONS.get(name, name)} is given, but the scene has no layer '{name}'",
                "leave the option out, or name the image",
            )
    return result


def _stated(
    name: str, metadata: ImageMetadata | None, north: float
) -> tuple[str, Direction | None]:
    """Return the origin and the view of the metadata of an image, from grid north."""
    if metadata is None or metadata.view is None:
        return name, None
    return metadata.file, metadata.view.turned(north)


def _contradiction(
    subject: str, best: tuple[str, Direction], other: tuple[str, Direction | None]
) -> str:
    """Return a note if another origin contradicts the one that is used, else nothing."""
    if other[1] is None:
        return ""
    angle = best[1].angle_to(other[1])
    if angle <= MAX_ANGLE:
        return ""
    return (
        f"{subject} of {other[0]} ({other[1]}) differs by {angle:.1f} degrees from that of "
        f"{best[0]} ({best[1]}), which is used"
    )


def _incidence_note(name: str, best: tuple[str, Direction], metadata: ImageMetadata | None) -> str:
    """Return a note if the incidence angle of the metadata contradicts the view."""
    if metadata is None or metadata.incidence is None:
        return ""
    if abs(metadata.incidence - best[1].incidence) <= MAX_ANGLE:
        return ""
    return (
        f"{name}: the incidence angle of {metadata.file} is {metadata.incidence:.1f} degrees, "
        f"that of {best[0]}, which is used, {best[1].incidence:.1f}"
    )


def pair_of(scene: Scene) -> Pair | None:
    """Return the geometry of the two orthos, or None if a view is unknown."""
    left, right = (scene.views.get(name) for name in PANCHROMATIC)
    return None if left is None or right is None else Pair(left, right)


def describe_views(scene: Scene) -> list[str]:
    """Return one line per view, one on the pair and one on the sun, as far as they are known."""
    lines = [f"{n}: {view}, incidence {view.incidence:.1f}" for n, view in scene.views.items()]
    pair = pair_of(scene)
    if pair is not None:
        lines.append(
            f"pair: convergence {pair.convergence:.1f} degrees, base-to-height ratio "
            f"{pair.base_to_height:.2f}, parallax along azimuth {pair.epipolar_azimuth:.0f}"
        )
    return lines if scene.sun is None else [*lines, f"sun: {scene.sun}"]


def base_remark(scene: Scene) -> str:
    """Return a warning if the base-to-height ratio of the pair is unsuitable, else nothing."""
    pair = pair_of(scene)
    if pair is None:
        return ""
    ratio, (low, high) = pair.base_to_height, BASE_TO_HEIGHT
    if ratio < low:
        return (
            f"the base-to-height ratio of the pair is {ratio:.2f}, below {low:g}: its heights are "
            "imprecise; choose images with a larger convergence angle"
        )
    if ratio > high:
        return (
            f"the base-to-height ratio of the pair is {ratio:.2f}, above {high:g}: matching often "
            "fails; choose images with a smaller convergence angle"
        )
    return ""


def view_tags(scene: Scene) -> dict[str, str]:
    """Return the directions as tags of a result; azimuths are from grid north."""
    names = {"ortho_left": "view_left", "ortho_right": "view_right"}
    tags = {names.get(name, "view"): str(view) for name, view in scene.views.items()}
    return tags if scene.sun is None else {**tags, "sun": str(scene.sun)}


def from_true_north(direction: Direction, grid: GeoBox) -> Direction:
    """Return a direction at the centre of a grid with its azimuth from true north."""
    return direction.turned(-true_north(*centre_of(grid), grid.crs))
