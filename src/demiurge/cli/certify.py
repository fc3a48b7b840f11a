"""Command ``certify``."""

from __future__ import annotations

import json
import math

from demiurge.cli.build import command
from demiurge.console import echo, note, table
from demiurge.errors import DataError
from demiurge.evaluation.certificate import Certificate, Verdict
from demiurge.evaluation.certify import certify as certify_surface
from demiurge.evaluation.intervals import Interval
from demiurge.evaluation.options import CertifyOptions
from demiurge.evaluation.report.standards import statements
from demiurge.outputs import atomic_file, check_output

#: What each figure is, in the order of the table.
_MEANING = {
    "LE68": "68 % of the errors are smaller",
    "LE90": "90 % of the errors are smaller",
    "LE95": "95 % of the errors are smaller",
    "bias": "median error",
    "NMAD": "normalised median absolute deviation",
    "mean": "mean error",
    "RMSE": "root mean square error",
}
#: Figures that a few points cannot bound, because rare large errors decide them.
_FRAGILE = ("mean", "RMSE")


@command
def certify(options: CertifyOptions) -> None:
    """State a surface's accuracy from a few check points."""
    json_file, overwrite = options.json_file, options.overwrite
    if json_file is not None:
        inputs = [p for p in (options.surface, options.points, options.other) if p is not None]
        check_output(json_file, overwrite=overwrite, inputs=inputs, suffixes=(".json",))
    keywords = {
        name: getattr(options, name)
        for name in CertifyOptions.model_fields
        if name not in ("json_file", "quiet")
    }
    certificate = certify_surface(**keywords)
    if json_file is not None:
        content = {**certificate.as_dict(), "statements": list(statements(certificate))}
        with atomic_file(json_file, overwrite=overwrite) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if not options.quiet:
        _print(certificate)
    _require_met(certificate)


def _print(certificate: Certificate) -> None:
    for text in certificate.notes:
        note(f"note: {text}")
    rows = [
        (
            name,
            *_cells(name, certificate.figures[name]),
            meaning + ("*" if name in _FRAGILE else ""),
        )
        for name, meaning in _MEANING.items()
    ]
    percent = f"{100 * certificate.confidence:g} %"
    voids = f", {certificate.voids} more on voids" if certificate.voids else ""
    table(
        ("figure", "value m", f"{percent} interval m", "about"),
        rows,
        title=f"{certificate.surface}: {certificate.count} check points{voids}",
    )
    echo("  * unless errors occur that are rarer and larger than those of the check points")
    for verdict in certificate.verdicts:
        echo(f"{verdict.figure} <= {verdict.limit:g} m: {_verdict(verdict)}")
    _print_calibration(certificate)
    _print_comparison(certificate)
    for text in statements(certificate):
        echo(text)


def _cells(name: str, interval: Interval) -> tuple[str, str]:
    sign = "+" if name in ("bias", "mean") else ""
    high = "no upper bound" if math.isinf(interval.high) else f"{interval.high:{sign}.2f}"
    return f"{interval.value:{sign}.2f}", f"{interval.low:{sign}.2f} to {high}"


def _verdict(verdict: Verdict) -> str:
    if verdict.state != "undecided":
        return verdict.state
    needed = f"; about {verdict.points} check points would decide it" if verdict.points else ""
    return f"undecided{needed}"


def _print_calibration(certificate: Certificate) -> None:
    fit = certificate.calibration
    if fit is None:
        return
    echo(
        f"uncertainty: {fit.figure} is {fit.factor:.2f} times the predicted standard deviation "
        f"({fit.nominal:.2f} if it were right and errors normal); it is within "
        f"{fit.limit:.2f} m on {fit.share:.1%} of the surface"
    )


def _print_comparison(certificate: Certificate) -> None:
    pairs = certificate.comparison
    if pairs is None:
        return
    state = {"better": "is better than", "worse": "is worse than"}.get(
        pairs.state, "is not shown to differ from"
    )
    echo(
        f"{certificate.surface} {state} {pairs.other}: nearer at {pairs.better.value:.0%} of "
        f"{pairs.count} points ({pairs.better.low:.0%} to {pairs.better.high:.0%}), absolute error "
        f"smaller by {pairs.gain.value:.2f} m at the median ({pairs.gain.low:.2f} to "
        f"{pairs.gain.high:.2f})"
    )


def _require_met(certificate: Certificate) -> None:
    """Raise for the first requirement that is not met."""
    for verdict in certificate.verdicts:
        if verdict.state == "met":
            continue
        value = certificate.figures[verdict.figure]
        high = "unbounded" if math.isinf(value.high) else f"{value.high:.2f}"
        raise DataError(
            f"{certificate.surface}: {verdict.figure} is {value.value:.2f} m ({value.low:.2f} to "
            f"{high}); at most {verdict.limit:g} m is required: {_verdict(verdict)}"
        )
