"""Accuracy of the demonstration on held-out ground, compared with classical methods."""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import Claim, at_most, main
from demiurge.demo.run import run


def measure(quick: bool) -> list[Claim]:
    """MAE of both parts of the demonstration against the best classical method."""
    with tempfile.TemporaryDirectory() as name:
        parts = run(Path(name), quick=quick)
    claims = []
    for part in parts:
        claims += [Claim(f"{part.title}: {row.surface}", row.mae, "m MAE") for row in part.rows]
        ours, rivals = part.rows[-1], [r for r in part.rows[:-1] if r.coverage >= 0.999]
        best = min(rivals, key=lambda row: row.mae)
        claims.append(at_most(f"MAE over that of: {best.surface}", ours.mae / best.mae, "", 1.0))
        claims.append(Claim("  seconds of this part", part.seconds, "s"))
    return claims


if __name__ == "__main__":
    main(measure)
