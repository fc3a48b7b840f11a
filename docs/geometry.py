"""Draw the figure of the page on geometry: python docs/geometry.py."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FILE = Path(__file__).parent / "images" / "geometry.png"
TRUE, LOW = 2.0, 0.0
LEFT, RIGHT = -24.0, 30.0
GROUND, DSM, RAYS = "#4a3b2a", "#b5651d", ("#1f6fb4", "#c0392b")


def main() -> None:
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    one, two = figure.subplots(1, 2)
    _surfaces(one, "One view: displacement = Δh · tan(incidence)")
    shift = _ray(one, LEFT, RAYS[0], "sensor")
    _length(one, 0, shift, "displacement", RAYS[0], -0.45)
    _incidence(one)
    _surfaces(two, "Two views: parallax = Δh · base-to-height ratio")
    ends = [_ray(two, LEFT, RAYS[0], "left sensor"), _ray(two, RIGHT, RAYS[1], "right sensor")]
    _length(two, ends[0], ends[1], "parallax", "black", -0.45)
    figure.savefig(FILE, dpi=110)


def _surfaces(axis: Any, title: str) -> None:
    axis.set_title(title, fontsize=11)
    axis.set(xlim=(-3.6, 3.9), ylim=(-1.2, 6.4), aspect="equal")
    axis.axis("off")
    axis.plot([-3.4, 3.7], [TRUE, TRUE], color=GROUND, lw=2)
    axis.plot([-3.4, 3.7], [LOW, LOW], color=DSM, lw=2, ls="--")
    axis.text(-3.4, TRUE + 0.12, "true surface", color=GROUND, fontsize=9)
    axis.text(-3.4, LOW + 0.12, "DSM, too low", color=DSM, fontsize=9)
    axis.plot([0, 0], [LOW, TRUE], color="grey", lw=1, ls=":")
    axis.text(-0.12, 0.75, "Δh", ha="right", fontsize=10)
    axis.plot(0, TRUE, "o", color="black", ms=6, zorder=5)


def _ray(axis: Any, incidence: float, colour: str, name: str) -> float:
    """Draw a line of sight through the point; return where it meets the DSM."""
    slope = np.tan(np.radians(incidence))
    top = TRUE + 3.6
    axis.plot([slope * (top - TRUE), -slope * (TRUE - LOW)], [top, LOW], color=colour, lw=1.4)
    axis.plot(-slope * (TRUE - LOW), LOW, "s", color=colour, ms=6, zorder=5)
    axis.text(slope * (top - TRUE), top + 0.15, name, color=colour, ha="center", fontsize=9)
    return float(-slope * (TRUE - LOW))


def _length(axis: Any, start: float, end: float, text: str, colour: str, y: float) -> None:
    arrow = {"arrowstyle": "<->", "color": colour, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (start, y), (end, y), arrowprops=arrow)
    axis.text((start + end) / 2, y - 0.45, text, color=colour, ha="center", fontsize=10)


def _incidence(axis: Any) -> None:
    axis.plot([0, 0], [TRUE, TRUE + 3], color="grey", lw=1, ls=":")
    angles = np.radians(np.linspace(0, LEFT, 30))
    axis.plot(1.9 * np.sin(angles), TRUE + 1.9 * np.cos(angles), color="grey", lw=1)
    axis.text(0.1, TRUE + 2.0, "incidence", color="grey", fontsize=9)


if __name__ == "__main__":
    main()
