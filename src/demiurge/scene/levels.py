"""Layers of heights that differ as heights above an ellipsoid and above a geoid do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import ABOVE_GROUND, Kind, layer, truth_of
from demiurge.scene.geotiff import STACK_NAME
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical

#: Least median difference in metres that stops a command.
FAR = 20.0
#: Largest NMAD of such differences, as a share of their median. Objects, growth and glaciers vary
#: more.
_SPREAD = 0.2
#: The least of 95 % of the differences, as a share of the median; larger where plants may be the
#: reason, since a canopy has gaps.
_TAIL, _TAIL_PLANTS = 0.5, 0.7
#: Median difference in metres that no canopy reaches.
_TALLEST = 80.0
#: Least number of common pixels, and least share of the layer with fewer ones.
_FEWEST, _SHARED = 1000, 0.5
_NMAD = 1.4826
#: Bare earth, and layers that may be it: coarse models come with and without canopy.
GROUND, _MAYBE_GROUND = ("dtm", "truth_dtm"), ("dem_prior",)
#: Layer whose heights are not above a vertical reference.
_NO_REFERENCE = truth_of(ABOVE_GROUND)
#: Side in pixels of the sample.
_SAMPLE = 512


@dataclass(frozen=True)
class LevelGap:
    """Differences of two layers of heights.

    Attributes
    ----------
    median, spread
        Median and NMAD in metres.
    tail
        What 95 % of the differences exceed, in the direction of the median, in metres.
    shared
        Share of the pixels of the layer with fewer ones that both have.
    count
        Number of common pixels.
    """

    median: float
    spread: float
    tail: float
    shared: float
    count: int


def level_gap(heights: Array, base: Array) -> LevelGap | None:
    """Return the differences heights − base; None without common pixels.

    Parameters
    ----------
    heights, base
        float32 in metres, of one shape; NaN for no data.
    """
    differences = (heights - base)[np.isfinite(heights) & np.isfinite(base)].astype(np.float64)
    if not differences.size:
        return None
    middle = float(np.median(differences))
    fewer = min(int(np.isfinite(heights).sum()), int(np.isfinite(base).sum()))
    return LevelGap(
        middle,
        _NMAD * float(np.median(np.abs(differences - middle))),
        float(np.percentile(differences if middle >= 0 else -differences, 5)),
        differences.size / fewer,
        differences.size,
    )


def is_other_level(gap: LevelGap, name: str, base: str) -> bool:
    """Return whether differences are those of another vertical reference.

    They are then tens of metres nearly everywhere and vary little, where plants, buildings and
    glaciers vary. A surface above bare earth counts only beyond the tallest canopy.

    Parameters
    ----------
    name, base
        The layers of :func:`level_gap`.
    """
    if gap.count < _FEWEST or gap.shared < _SHARED or abs(gap.median) < FAR:
        return False
    lower = base if gap.median > 0 else name
    upper = name if gap.median > 0 else base
    if upper not in GROUND and lower in GROUND and abs(gap.median) < _TALLEST:
        return False
    plants = upper not in GROUND and lower in _MAYBE_GROUND
    tail = _TAIL_PLANTS if plants else _TAIL
    return gap.spread <= _SPREAD * abs(gap.median) and gap.tail >= tail * abs(gap.median)


def declared(scene: Scene, name: str) -> Vertical:
    """Return the vertical reference that the file of a layer, or the user, declares for it.

    The stack of a prepared scene has one reference, but some of its layers may only have adopted
    it; ``scene.yaml`` says which of them declared it.
    """
    entry = None if scene.spec is None else scene.spec.layers.get(name)
    if entry is not None and (entry.vertical is not None or entry.file == STACK_NAME):
        return entry.vertical or Vertical()
    return scene.sources[name].vertical


def heights_entry(source: Source) -> dict[str, Any]:
    """Return the fields of a layer in ``scene.yaml`` that concern its vertical reference."""
    if source.layer.kind is not Kind.HEIGHT or source.layer.name == _NO_REFERENCE:
        return {}
    known = {"vertical": source.vertical} if source.vertical.reference != "unknown" else {}
    made = source.transformation
    return known if made is None else {**known, "transformation": made}


def describe_heights(scene: Scene) -> list[str]:
    """Return a line on each layer whose heights were transformed to the scene's reference."""
    lines = []
    for name, source in scene.sources.items():
        entry = None if scene.spec is None else scene.spec.layers.get(name)
        made = source.transformation if entry is None else entry.transformation
        if made is not None:
            lines.append(f"{name}: {made}")
    return lines


def level_fault(scene: Scene, name: str, samples: dict[str, Array]) -> tuple[str, str] | None:
    """Return what differs by another vertical reference, and the cure; None if nothing does.

    Two layers whose references are both declared are not judged: the difference is then real, or
    the declaration is wrong, which nothing here can tell.

    Parameters
    ----------
    name
        A layer of heights.
    samples
        Samples by layer, as :meth:`Scene.sample` returns them.
    """
    base = scene.base
    if base is None or name in (base, _NO_REFERENCE) or name not in scene.sources:
        return None
    gap = level_gap(samples[name], samples[base])
    if gap is None or not is_other_level(gap, name, base):
        return None
    unknown = [n for n in (base, name) if declared(scene, n).reference == "unknown"]
    if not unknown:
        return None
    above = "above" if gap.median > 0 else "below"
    fault = (
        f"is {abs(gap.median):.1f} m {above} '{base}' at the median and differs by about that "
        f"nearly everywhere (NMAD {gap.spread:.1f} m), as heights of another vertical reference "
        f"do; {_undeclared(unknown)}"
    )
    examples = dict.fromkeys((base, name), "egm2008") | {"dsm": "ellipsoidal"}
    options = " ".join(f"--vertical {n}={examples[n]}" for n in unknown)
    cure = (
        f"prepare the scene from its files with the reference that each has, such as {options} "
        "--to-vertical egm2008; where the difference is real, declare the same reference for both"
    )
    return fault, cure


def _undeclared(names: list[str]) -> str:
    return (
        " and ".join(map(repr, names)) + (" declare" if len(names) > 1 else " declares") + " none"
    )


def require_levels(scene: Scene) -> None:
    """Raise if a layer of heights has another vertical reference than the base.

    Raises
    ------
    DataError
        With the options that declare and transform references.
    """
    names = [n for n in scene.sources if layer(n).kind is Kind.HEIGHT]
    if scene.base is None or len(names) < 2:
        return
    samples = {name: scene.sample(name, _SAMPLE) for name in names}
    for name in names:
        found = level_fault(scene, name, samples)
        if found is not None:
            raise DataError(f"{scene.sources[name].path}: layer '{name}' {found[0]}", found[1])
