"""Figures of a bundle with goals and limits, and its installation within the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demiurge.errors import DataError
from demiurge.model.bundle import Bundle, save_bundle


@dataclass(frozen=True)
class Gate:
    """A figure of a bundle with its goal and its limit.

    The limit is what the shipped bundle reaches, rounded outwards; a new bundle may not be worse.

    Attributes
    ----------
    least
        Whether goal and limit are lower bounds.
    """

    name: str
    value: float
    goal: float
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def holds(self) -> bool:
        """Return whether the limit is kept; a figure that is not a number breaks it."""
        return self.value >= self.limit if self.least else self.value <= self.limit

    @property
    def reached(self) -> bool:
        """Return whether the goal is reached."""
        return self.value >= self.goal if self.least else self.value <= self.goal


def with_figures(bundle: Bundle, gates: Sequence[Gate] | None) -> Bundle:
    """Return the bundle with the figures in its card; None: they were not measured."""
    table: Any = "not measured: the real places were absent"
    if gates is not None:
        table = [{**asdict(g), "holds": g.holds, "reached": g.reached} for g in gates]
    metrics = {**bundle.card.metrics, "gates": table}
    return Bundle(bundle.path, bundle.card.model_copy(update={"metrics": metrics}))


def install(bundle: Bundle, path: Path, gates: Sequence[Gate] | None) -> None:
    """Write the bundle with its figures, unless a limit is broken.

    Raises
    ------
    DataError
        If a limit is broken; ``path`` stays as it is.
    """
    require_within(bundle, gates or ())
    described = with_figures(bundle, gates)
    graph, weights = bundle.graph(), bundle.weights()
    save_bundle(path, described.card, graph, weights, overwrite=True)


def require_within(bundle: Bundle, gates: Sequence[Gate]) -> None:
    """Raise DataError that names the broken limits, if any."""
    broken = [gate for gate in gates if not gate.holds]
    if broken:
        first = broken[0]
        raise DataError(
            f"{bundle.path}: breaks {len(broken)} of {len(gates)} limits, first: {first.name}: "
            f"{first.value:.3g} {first.unit}".rstrip()
            + f", limit {first.limit:g}",
            "it was not installed; train it longer or on other data",
        )


def print_gates(gates: Sequence[Gate]) -> None:
    """Print the figures, their goals and limits."""
    width = max(len(gate.name) for gate in gates)
    for gate in gates:
        sign = ">=" if gate.least else "<="
        word = "BROKEN" if not gate.holds else "" if gate.reached else "goal missed"
        value = f"{gate.value:.3f} {gate.unit}".ljust(10)
        bounds = f"goal {sign} {gate.goal:<5g} limit {sign} {gate.limit:<5g}"
        print(f"{gate.name.ljust(width)}  {value} {bounds}  {word}".rstrip())
