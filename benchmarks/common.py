"""Common parts of the benchmarks: claims, their table, the command line, interleaved timing."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import rasterio

from demiurge.model.bundle import Bundle, load_bundle


@dataclass(frozen=True)
class Claim:
    """A figure and its goal; ``holds`` is None without a goal."""

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
    parser.add_argument("--json", type=Path, help="JSON file for the claims")
    arguments = parser.parse_args()
    claims = measure(arguments.quick)
    show(claims)
    if arguments.json:
        write_json(arguments.json, [asdict(c) for c in claims])


def write_json(path: Path, content: object) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(claims: Sequence[Claim]) -> None:
    """Print the claims as a table."""
    words = {None: "", True: "holds", False: "MISSED"}
    rows = [(c.claim, f"{c.value:.4g} {c.unit}".strip(), c.goal, words[c.holds]) for c in claims]
    rows.insert(0, ("claim", "value", "goal", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def half_interval(deviation: np.ndarray) -> np.ndarray:
    """Return half of the 90 % interval of a Laplace distribution of a standard deviation."""
    return deviation / np.sqrt(2) * np.log(10)


def interleaved(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time several functions in turn, so that variations of load affect all; seconds."""
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


def data_folder() -> Path | None:
    """Return the folder of real rasters: $DEMIURGE_DATA, else shared/data next to the repository.

    Prints a message and returns None if there is none.
    """
    given = os.environ.get("DEMIURGE_DATA")
    candidates = [parent / "shared" / "data" for parent in Path(__file__).resolve().parents[2:]]
    folder = next((f for f in ([Path(given)] if given else candidates) if f.is_dir()), None)
    if folder is None:
        print("no folder of real rasters ($DEMIURGE_DATA, ../shared/data): nothing is measured")
    return folder


def read_heights(path: Path) -> np.ndarray:
    """Return the first band as float32 (rows, columns), NaN for no data."""
    with rasterio.open(path) as file:
        return file.read(1, masked=True).astype(np.float32).filled(np.nan)


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a bundle and change how it is applied."""
    parser.add_argument("--bundle", default="refine", help="file, or name of a shipped one")
    parser.add_argument("--window", type=int, help="side in pixels; default: the bundle's")
    parser.add_argument("--overlap", type=float, help="share of a window; default: the bundle's")
    parser.add_argument(
        "--shrink", type=float, help="soft threshold in uncertainties; default: the bundle's"
    )
    parser.add_argument("--tta", type=int, default=1, help="orientations: 1, 4 or 8")
    parser.add_argument("--only", help="names of acquisitions or places, separated by commas")
    parser.add_argument("--json", type=Path, help="JSON file for all figures")


def chosen_bundle(arguments: argparse.Namespace) -> Bundle:
    """Return the bundle of the arguments with its window, overlap and shrinkage changed."""
    bundle = load_bundle(arguments.bundle)
    card = bundle.card
    window = {k: getattr(arguments, n) for k, n in (("size", "window"), ("overlap", "overlap"))}
    window = {key: value for key, value in window.items() if value is not None}
    changes: dict[str, object] = {"window": card.window.model_copy(update=window)}
    if arguments.shrink is not None:
        changes["contract"] = card.contract.model_copy(update={"shrink": arguments.shrink})
    return replace(bundle, card=card.model_copy(update=changes))


def settings_of(bundle: Bundle) -> dict[str, object]:
    """Return bundle and options of the figures, for the JSON."""
    window = bundle.card.window
    return {
        "bundle": str(bundle.path),
        "sha256": bundle.card.sha256.get("graph.onnx", ""),
        "window": window.size,
        "overlap": window.overlap,
        "shrink": bundle.contract.shrink,
    }


def print_rows(rows: dict[str, dict[str, float]], columns: dict[str, str], title: str) -> None:
    """Print figures by name; ``columns`` is key to printf format."""
    width = max(len(name) for name in (*rows, title))
    print(title.ljust(width), *(key.rjust(9) for key in columns))
    for name, row in rows.items():
        cells = (
            "".rjust(9) if key not in row else (form % row[key]).rjust(9)
            for key, form in columns.items()
        )
        print(name.ljust(width), *cells, flush=True)
