"""The limits that a bundle must keep before it replaces the shipped one.

``python benchmarks/gates.py BUNDLE --install FILE`` measures BUNDLE on real places that it was not
trained on, and installs it as FILE, with the figures in its card, or exits with 3 and leaves FILE
as it is. Without the folder of real rasters nothing is measured, and the card says so.

A bundle of refine is measured on surfaces (kept_out.py): exact heights as input (identity.py),
inputs between exact and stereo (ladder.py), simulated stereo with no image, one and two
(transfer.py), bare earth and 90 % intervals. A bundle of generate is measured on images with
heights (image_places.py): over priors, or without one if its heights are relative (image_gates.py).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import identity
import image_gates
import ladder
import transfer
from common import data_folder
from demiurge.errors import DataError, DemiurgeError, UsageError
from demiurge.model.bundle import Bundle, load_bundle
from gate import Gate, install, print_gates, require_within
from kept_out import TAKES, add_scenes_argument, present, scenes_folder

Figures = dict[str, float]


#: Limits of the error over the input's, for a share of the stereo error: mean and worst of places.
LADDER = (1.07, 1.25)
#: Limits of the mean of places of the error over the input's, by images and class; and the goals.
STEREO = {
    "none": {"all": 0.88, "insides": 0.9, "steps": 0.93, "open": 0.75},
    "one": {"all": 0.78, "insides": 0.85, "steps": 0.84, "open": 0.6},
    "two": {"all": 0.77, "insides": 0.85, "steps": 0.83, "open": 0.58},
}
STEREO_GOALS = {"all": 0.75, "insides": 1.0, "steps": 0.8, "open": 0.65}


def identity_gates(rows: dict[str, Figures]) -> list[Gate]:
    """Return the gates of exact heights as the input, in metres."""
    places = {name: row for name, row in rows.items() if name not in ("mean", "worst")}
    gates = []
    for kind, goal, limit in (("open", 0.05, 0.05), ("objects", 0.15, 0.15)):
        known = {name: row[kind] for name, row in places.items() if kind in row}
        if not known:
            continue
        mean = sum(known.values()) / len(known)
        worst = max(known, key=lambda name: known[name])
        gates += [
            Gate(f"exact input: mean change, {kind}, mean of places", mean, goal, goal, "m"),
            Gate(f"the same, worst place ({worst})", known[worst], goal, limit, "m"),
        ]  # fmt: skip
    bias = max(abs(row["mean"]) for row in places.values())
    ground = sum(row["ground_rmse"] for row in places.values()) / len(places)
    return [
        *gates,
        Gate("exact input: bias, worst place", bias, 0.05, 0.05, "m"),
        Gate("exact input: bare earth RMSE, mean of places", ground, 1.3, 1.4, "m"),
    ]


def ladder_gates(rows: dict[str, dict[str, Figures]]) -> list[Gate]:
    """Return the gates of inputs with a share of the stereo error: error over the input's."""
    gates = []
    for kind, by_place in rows.items():
        places = {name: row for name, row in by_place.items() if name != "worst"}
        for share in (f"{s:.0%}" for s in ladder.SHARES[1:]):
            values = {name: row[share] for name, row in places.items()}
            worst = max(values, key=lambda name: values[name])
            name = f"input with {share} of the stereo error, images: {kind}: error over its input"
            mean = sum(values.values()) / len(values)
            gates += [
                Gate(f"{name}, mean of places", mean, 1.0, LADDER[0]),
                Gate(f"the same, worst place ({worst})", values[worst], 1.0, LADDER[1]),
            ]
    return gates


def transfer_gates(result: dict[str, dict[str, Figures]]) -> list[Gate]:
    """Return the gates of simulated stereo: error over the input's, intervals, bare earth."""
    gates = []
    for kind, rows in result.items():
        places = {name: row for name, row in rows.items() if name != "mean"}
        name = f"stereo, images: {kind}"
        for group, limit in STEREO[kind].items():
            if group in rows["mean"]:
                text = f"{name}: error over its input, {group}, mean of places"
                gates.append(Gate(text, rows["mean"][group], STEREO_GOALS[group], limit))
        worst = max(
            (row[g], place, g) for place, row in places.items() for g in STEREO[kind] if g in row
        )
        covered = min((row["covered"], place) for place, row in places.items())
        ground = rows["mean"]["ground_rmse"]
        gates += [
            Gate(f"the same, worst class of a place ({worst[1]}, {worst[2]})", worst[0], 1.0, 1.2),
            Gate(f"{name}: share in the 90 % interval, least place ({covered[1]})",
                 covered[0], 0.85, 0.57, least=True),
            Gate(f"{name}: bare earth RMSE, mean of places", ground, 3.0, 4.5, "m"),
        ]  # fmt: skip
    kinds = [kind for kind in ("none", "one", "two") if kind in result]
    for less, more in itertools.pairwise(kinds):
        ratio = result[more]["mean"]["all"] / result[less]["mean"]["all"]
        gates.append(Gate(f"error with images: {more} over images: {less}", ratio, 1.0, 1.01))
    return gates


def measure(bundle: Bundle, data: Path, scenes: Path, *, takes: int = TAKES) -> list[Gate]:
    """Measure a bundle on the kept-out surfaces."""
    trained = bundle.card.provenance.get("places", {}).get("trained", [])
    surfaces = [place for place in present(data) if place not in trained]
    if not surfaces:
        raise DataError(
            f"{data}: holds no surface of kept_out.py that the bundle was not trained on",
            "keep some of them out of the training",
        )
    exact = identity.measure(bundle, data, quick=True, only=surfaces)
    if not exact:
        raise DataError(f"bundle '{bundle.card.name}' fits the pixel size of no kept-out surface")
    stereo = transfer.measure_places(
        bundle, data, scenes, inputs=("none", "one", "two"), only=surfaces, takes=takes
    )
    steps = ladder.measure(bundle, data, scenes, only=surfaces, takes=1)
    return [*identity_gates(exact), *ladder_gates(steps), *transfer_gates(stereo)]


def measured(bundle: Bundle, data: Path, scenes: Path, *, takes: int = TAKES) -> list[Gate]:
    """Measure a bundle by its task.

    Raises
    ------
    UsageError
        If there are no limits for the task or the targets.
    """
    if bundle.card.task == "refine":
        return measure(bundle, data, scenes, takes=takes)
    if bundle.card.task != "generate" or bundle.contract.above_ground:
        raise UsageError(f"no limits are known for bundle '{bundle.card.name}'")
    return image_gates.measure(bundle, data)


def main() -> None:
    """Measure, and install if wanted, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="file, or name of a shipped one")
    parser.add_argument("--install", type=Path, help="file to write if all limits are kept")
    parser.add_argument("--takes", type=int, default=TAKES, help="takes of each place")
    add_scenes_argument(parser)
    arguments = parser.parse_args()
    try:
        bundle = load_bundle(arguments.bundle)
        gates = None
        data = data_folder()
        if data is not None:
            with scenes_folder(arguments.scenes) as scenes:
                gates = measured(bundle, data, scenes, takes=arguments.takes)
            print_gates(gates)
        if arguments.install:
            install(bundle, arguments.install, gates)
            print(f"installed: {arguments.install}")
        elif gates is not None:
            require_within(bundle, gates)
    except DemiurgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
