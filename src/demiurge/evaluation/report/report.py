"""One HTML file that says how good a surface is; it opens offline."""

from __future__ import annotations

import hashlib
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demiurge._version import __version__
from demiurge.arrays import Array
from demiurge.errors import missing_extra
from demiurge.evaluation.collect import Pair
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.judged import Judged
from demiurge.evaluation.report import plots
from demiurge.evaluation.report.page import html_page, html_picture, html_table, painted
from demiurge.evaluation.report.profiles import Line, cut
from demiurge.evaluation.report.tables import (
    Table,
    class_rows,
    doubt_rows,
    figures,
    rival_rows,
    spatial_rows,
)
from demiurge.evaluation.result import Evaluation
from demiurge.figure import Panel, draw
from demiurge.model.bundle import card_summary, load_bundle, shipped_bundles
from demiurge.paths import is_remote
from demiurge.scene.files import open_raster
from demiurge.scene.grid import crs_name, full_window, pixel_size
from demiurge.scene.source import Source

#: Pixels a side of the pictures, at most.
_MOST = 700
#: Pixels that plots are drawn from, at most.
_PLOTTED = 2_000_000
#: Files larger than this are told by size and time alone.
_HASHED = 2**31


def require_plots() -> None:
    """Raise before any work if pictures cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_extra("matplotlib", "report", "a report") from None


@dataclass
class Report:
    """Keeps what an evaluation reads, and writes it up.

    Attributes
    ----------
    lines
        Of profiles to draw, each x and y of its ends in the CRS of the comparison.
    """

    lines: Sequence[Line] = ()
    _planes: dict[str, Array] = field(default_factory=dict)
    _pictures: list[str] = field(default_factory=list)
    _gsd: float = 1.0

    def take(self, pair: Pair, columns: Columns) -> None:
        """Draw pictures of what was read; see :class:`demiurge.evaluation.evaluate.Taker`."""
        grid, whole = pair.grid, full_window(pair.grid)
        step = max(1, -(-max(grid.shape) // _MOST))
        known: dict[str, Judged | Source] = {**pair.judged, "reference": pair.reference}
        shown = [role for role in ("surface", "baseline", "reference") if role in known]
        self._planes = {role: known[role].read(grid, whole, step) for role in shown}
        self._gsd = pixel_size(grid) * step
        about = columns.sample(columns.names, _PLOTTED)
        differences: dict[str, Array] = {r: about[r] for r in shown if r in about}
        self._add("Heights, in the same light", self._heights)
        self._add("Errors: blue is too high, red too low", self._errors)
        self._add("How errors are spread", lambda file: plots.histogram(file, differences))
        self._add("Profiles through the largest errors", self._profiles)
        if self.lines:
            cuts = [cut(line, {r: known[r] for r in shown}, grid) for line in self.lines]
            self._add("Profiles along your lines", lambda file: plots.draw_cuts(file, cuts))
        self._add("Errors by slope", lambda file: plots.by_slope(file, differences, about["slope"]))
        if "spread" in about:
            told = (differences["surface"], about["spread"])
            self._add("Uncertainty", lambda file: plots.reliability(file, *told))

    def _add(self, title: str, paint: Callable[[io.BytesIO], None]) -> None:
        self._pictures.append(html_picture(title, painted(paint)))

    def _heights(self, file: io.BytesIO) -> None:
        panels = [Panel(role, plane, "height") for role, plane in self._planes.items()]
        draw(file, "", panels, self._gsd, columns=3)

    def _errors(self, file: io.BytesIO) -> None:
        truth = self._planes["reference"]
        panels = [
            Panel(f"error of the {role}", plane - truth, "error")
            for role, plane in self._planes.items()
            if role != "reference"
        ]
        draw(file, "", [Panel("reference", truth, "height"), *panels], self._gsd, columns=3)

    def _profiles(self, file: io.BytesIO) -> None:
        plots.profiles(file, self._planes, self._gsd)

    def page(self, found: Evaluation) -> str:
        """Return the report, HTML."""
        if found.spatial is not None:
            seen = found.spatial
            self._add("Variogram of the errors", lambda file: plots.variogram(file, seen))
        parts = [
            f"<h1>{html.escape(Path(found.files['surface']).name)}</h1>",
            f"<p>against {html.escape(Path(found.files['reference']).name)}: "
            f"MAE {found.surface.mae:.3f} m, RMSE {found.surface.rmse:.3f} m, over "
            f"{found.surface.coverage:.1%} of the reference.{_gain(found)}</p>",
            *(f'<p class="note">{html.escape(note)}</p>' for note in found.notes),
            "<h2>Figures</h2>",
            html_table(*figures(found)),
            *_section("Beside it", rival_rows(found)),
            *_section("By class", class_rows(found)),
            *_section("Uncertainty, in figures", doubt_rows(found)),
            *_section("How errors hang together", spatial_rows(found)),
            *self._pictures,
            "<h2>Inputs</h2>",
            _inputs(found.files),
            _tags(found.files["surface"]),
            *_card(found.files["surface"]),
            f"<p>demiurge {__version__}. Reference and baseline were brought to the surface's "
            "grid, heights bilinearly, a coarser baseline cubically.</p>",
        ]
        return html_page(html.escape(Path(found.files["surface"]).name), parts)


def _gain(found: Evaluation) -> str:
    ratios = found.ratios()
    if "mae" not in ratios:
        return ""
    return f" On common pixels its MAE is {ratios['mae']:.3f} of the baseline's."


def _section(title: str, table: Table | None) -> list[str]:
    if table is None:
        return []
    return [f"<h2>{html.escape(title)}</h2>", html_table(*table)]


def _inputs(files: Mapping[str, str]) -> str:
    rows = []
    for role, path in files.items():
        with open_raster(path) as dataset:
            rows_, columns = dataset.shape
            from odc.geo.crs import CRS

            name = crs_name(CRS(dataset.crs.to_wkt()))
            size = abs(dataset.transform.a)
        rows.append((role, Path(path).name, f"{rows_} × {columns}", f"{size:g}", name, _sum(path)))
    return html_table(("role", "file", "pixels", "pixel size", "CRS", "SHA-256"), rows)


def _sum(path: str) -> str:
    if is_remote(path) or not Path(path).is_file() or Path(path).stat().st_size > _HASHED:
        return "not taken"
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tags(path: str) -> str:
    with open_raster(path) as dataset:
        tags: dict[str, Any] = dataset.tags()
    if "bundle" not in tags:
        return ""
    rows = [(key, str(value)) for key, value in sorted(tags.items())]
    return "<h2>What the surface says of itself</h2>" + html_table(("tag", "value"), rows)


def _card(path: str) -> list[str]:
    """Return what the shipped bundle that made the surface says of itself."""
    with open_raster(path) as dataset:
        made_by = dataset.tags().get("bundle_graph_sha256")
    if not made_by:
        return []
    for name, place in shipped_bundles().items():
        card = load_bundle(place).card
        if card.sha256.get("graph.onnx") != made_by:
            continue
        head = f"<h2>Bundle {html.escape(name)}</h2>"
        return [head, html_table(("card", "what it means"), card_summary(card))]
    return []
