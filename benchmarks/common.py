"""What the benchmarks share: claims, their table, the command line, timing side by side."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """A figure and what it should be; ``holds`` is None where there is no goal."""

    claim: str
    value: float
    unit: str
    goal: str = ""
    holds: bool | None = None


def at_least(claim: str, value: float, unit: str, goal: float) -> Claim:
    return Claim(claim, value, unit, f">= {goal:g}", value >= goal)


def at_most(claim: str, value: float, unit: str, goal: float) -> Claim:
    return Claim(claim, value, unit, f"<= {goal:g}", value <= goal)


def main(measure: Callable[[bool], list[Claim]]) -> None:
    """Run a benchmark from the command line."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes; shows that it runs")
    parser.add_argument("--json", type=Path, help="write the claims here")
    arguments = parser.parse_args()
    claims = measure(arguments.quick)
    show(claims)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(c) for c in claims], indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


def show(claims: Sequence[Claim]) -> None:
    """Print the claims as a table."""
    words = {None: "", True: "holds", False: "MISSED"}
    rows = [(c.claim, f"{c.value:.4g} {c.unit}".strip(), c.goal, words[c.holds]) for c in claims]
    rows.insert(0, ("claim", "value", "goal", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def interleaved(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time several pieces of work in turn, so that the machine's moods fall on all; seconds."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # caches warm for all
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return times


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
