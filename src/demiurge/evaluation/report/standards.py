"""Accuracy statements in the words of the standards that contracts refer to."""

from __future__ import annotations

from collections.abc import Iterator

from demiurge.evaluation.certificate import Certificate

#: Fewest check points: FGDC-STD-007.3-1998, section 3.2.2; ASPRS Edition 2 (2024), section 7.
_FGDC_POINTS, _ASPRS_POINTS = 20, 30
#: NSSDA: vertical accuracy at 95 % confidence is so many times the RMSE, for normal errors.
_NSSDA = 1.96
#: NSSDA: least share of the check points in each quadrant.
_QUADRANT = 0.2


def statements(certificate: Certificate) -> Iterator[str]:
    """Yield what ISO 19157, ASPRS 2024 and FGDC NSSDA ask to be reported, in sentences."""
    figures, count = certificate.figures, certificate.count
    yield (
        "ISO 19157, absolute vertical accuracy, from "
        f"{count} check points: LE68.3 {figures['LE68'].value:.2f} m, LE90 "
        f"{figures['LE90'].value:.2f} m, LE95 {figures['LE95'].value:.2f} m, RMSE "
        f"{figures['RMSE'].value:.2f} m, bias {figures['mean'].value:+.2f} m (mean)."
    )
    rmse = figures["RMSE"].value
    if count >= _ASPRS_POINTS:
        yield (
            "ASPRS Positional Accuracy Standards, Edition 2 (2024): tested with "
            f"{count} check points, vertical RMSE = {100 * rmse:.0f} cm, without the check points' "
            "own error."
        )
    else:
        yield (
            "ASPRS Positional Accuracy Standards, Edition 2 (2024): no statement, since "
            f"{_ASPRS_POINTS} check points are needed and {count} are given."
        )
    if count >= _FGDC_POINTS:
        uneven = min(certificate.quadrants) < _QUADRANT
        yield (
            f"FGDC NSSDA (FGDC-STD-007.3-1998): tested {_NSSDA * rmse:.2f} meters vertical "
            "accuracy at 95% confidence level, which assumes normal errors"
            + (
                "; the standard asks for 20 % of the points in each quadrant, and they are fewer."
                if uneven
                else "."
            )
        )
    else:
        yield (
            "FGDC NSSDA (FGDC-STD-007.3-1998): no statement, since "
            f"{_FGDC_POINTS} check points are needed and {count} are given."
        )
