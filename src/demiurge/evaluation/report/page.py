"""HTML reports: one self-contained file on one evaluation or on many sites."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odc.geo.crs import CRS

from demiurge._version import __version__
from demiurge.arrays import Array
from demiurge.errors import missing_extra
from demiurge.evaluation.align import AlignedRasters
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.evaluate import Evaluation
from demiurge.evaluation.inputs import AlignedSource
from demiurge.evaluation.report import plots, tables
from demiurge.evaluation.report.profiles import Line, sample_profile
from demiurge.evaluation.sites import Sites
from demiurge.figure import Panel, draw
from demiurge.model.bundle import card_summary, load_bundle, shipped_bundles
from demiurge.paths import is_remote
from demiurge.scene.files import open_raster
from demiurge.scene.grid import crs_name, full_window, pixel_size
from demiurge.scene.source import Source

#: Largest side of the maps in pixels.
_MOST = 700
#: Largest number of pixels for plots.
_PLOTTED = 2_000_000
#: Largest file in bytes whose SHA-256 is computed.
_HASHED = 2**31

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ccc}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid #e4e4e4}
th:first-child,td:first-child{text-align:left}th{cursor:pointer;background:#f5f5f5}
img{max-width:100%}.note{background:#fff6dd;padding:.4em .8em}td.path{word-break:break-all}
@media print{h2{break-after:avoid}img,table{break-inside:avoid}body{margin:0}}
"""
#: Sorts a table by the column whose heading is clicked.
_SORT = """
document.querySelectorAll('th').forEach(th=>th.onclick=()=>{const t=th.closest('table'),
i=[...th.parentNode.children].indexOf(th),b=t.tBodies[0],v=r=>{const s=r.cells[i].innerText,
n=parseFloat(s.replace('+',''));return isNaN(n)?s:n},d=th.dataset.d=-(th.dataset.d||-1);
[...b.rows].sort((x,y)=>(v(x)>v(y)?1:-1)*d).forEach(r=>b.append(r))})
"""


def require_plots() -> None:
    """Raise ResourceError if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_extra("matplotlib", "report", "a report") from None


@dataclass
class Report:
    """Report on one evaluation; a :class:`demiurge.evaluation.evaluate.Recorder`.

    Attributes
    ----------
    lines
        Lines of profiles to draw, in the CRS of the comparison.
    """

    lines: Sequence[Line] = ()
    _heights: dict[str, Array] = field(default_factory=dict)
    _pictures: list[str] = field(default_factory=list)
    _gsd: float = 1.0

    def record(self, rasters: AlignedRasters, columns: Columns) -> None:
        """Draw the figures from the compared rasters and pixels."""
        grid, window = rasters.grid, full_window(rasters.grid)
        step = max(1, -(-max(grid.shape) // _MOST))
        sources: dict[str, AlignedSource | Source] = {
            **rasters.surfaces,
            "reference": rasters.reference,
        }
        shown = [role for role in ("surface", "baseline", "reference") if role in sources]
        self._heights = {role: sources[role].read(grid, window, step) for role in shown}
        self._gsd = pixel_size(grid) * step
        pixels = columns.sample(columns.names, _PLOTTED)
        errors: dict[str, Array] = {r: pixels[r] for r in shown if r in pixels}
        self._add("Heights with the same illumination", self._draw_heights)
        self._add("Errors: blue is too high, red too low", self._draw_errors)
        self._add("Distribution of errors", lambda file: plots.histogram(file, errors))
        self._add("Profiles through the largest errors", self._draw_profiles)
        if self.lines:
            drawn: dict[str, AlignedSource | Source] = {r: sources[r] for r in shown}
            profiles = [sample_profile(line, drawn, grid) for line in self.lines]
            self._add("Profiles along your lines", lambda file: plots.lines(file, profiles))
        self._add("Errors by slope", lambda file: plots.by_slope(file, errors, pixels["slope"]))
        if "uncertainty" in pixels:
            predicted = (errors["surface"], pixels["uncertainty"])
            self._add("Uncertainty", lambda file: plots.reliability(file, *predicted))

    def _add(self, title: str, draw_figure: Callable[[io.BytesIO], None]) -> None:
        self._pictures.append(_picture(title, draw_figure))

    def _draw_heights(self, file: io.BytesIO) -> None:
        panels = [Panel(role, heights, "height") for role, heights in self._heights.items()]
        draw(file, "", panels, self._gsd, columns=3)

    def _draw_errors(self, file: io.BytesIO) -> None:
        reference = self._heights["reference"]
        panels = [
            Panel(f"error of the {role}", heights - reference, "error")
            for role, heights in self._heights.items()
            if role != "reference"
        ]
        draw(file, "", [Panel("reference", reference, "height"), *panels], self._gsd, columns=3)

    def _draw_profiles(self, file: io.BytesIO) -> None:
        plots.profiles(file, self._heights, self._gsd)

    def page(self, evaluation: Evaluation) -> str:
        """Return the report as HTML."""
        spatial = evaluation.spatial
        if spatial is not None:
            self._add("Variogram of the errors", lambda file: plots.variogram(file, spatial))
        surface, own = evaluation.files["surface"], evaluation.surface
        title = html.escape(Path(surface).name)
        parts = [
            f"<h1>{title}</h1>",
            f"<p>Compared with {html.escape(Path(evaluation.files['reference']).name)}: "
            f"MAE {own.mae:.3f} m, RMSE {own.rmse:.3f} m, over {own.coverage:.1%} of the "
            f"reference.{_ratio(evaluation)}</p>",
            *_notes(evaluation.notes),
            *_section("Statistics", tables.statistics(evaluation)),
            *_section("Variants of the surface", tables.variants(evaluation)),
            *_section("Statistics by class", tables.classes(evaluation)),
            *_section("Statistics of the uncertainty", tables.uncertainty(evaluation)),
            *_section("Spatial correlation of the errors", tables.spatial(evaluation)),
            *self._pictures,
            *_section("Inputs", _inputs(evaluation.files)),
            *_section("Tags of the surface", _tags(surface)),
            *_bundle(surface),
            f"<p>demiurge {__version__}. Reference and baseline were resampled to the surface's "
            "grid, heights bilinearly, a much coarser baseline cubically.</p>",
        ]
        return _page(title, parts)


def sites_page(table: Path, sites: Sites) -> str:
    """Return the report on the sites of a table as HTML."""
    title, pooled = html.escape(table.name), sites.surface
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{len(sites.sites)} sites, {pooled.count} pixels: MAE {pooled.mae:.3f} m, "
        f"RMSE {pooled.rmse:.3f} m.</p>",
        *_notes(sites.notes),
        *_section("All sites", tables.intervals(sites)),
        _picture("Sites", lambda file: plots.by_site(file, sites)),
        _table(tables.sites(sites)),
        *_section("Statistics by class, all sites", tables.classes(sites)),
        f"<p>demiurge {__version__}. Intervals: bootstrap of 2,000 samples over sites. "
        "References and baselines were resampled to each surface's grid, heights bilinearly, a "
        "much coarser baseline cubically.</p>",
    ]
    return _page(title, parts)


def _page(title: str, parts: Sequence[str]) -> str:
    """Return a complete page; ``title`` and ``parts`` are HTML."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}<script>{_SORT}</script></body></html>"
    )


def _picture(title: str, draw_figure: Callable[[io.BytesIO], None]) -> str:
    """Return a heading and an embedded PNG."""
    file = io.BytesIO()
    draw_figure(file)
    data, text = base64.b64encode(file.getvalue()).decode(), html.escape(title)
    return f'<h2>{text}</h2><img alt="{text}" src="data:image/png;base64,{data}">'


def _table(table: tables.Table) -> str:
    head, rows = table
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _section(title: str, table: tables.Table | None) -> list[str]:
    return [] if table is None else [f"<h2>{html.escape(title)}</h2>", _table(table)]


def _notes(notes: Sequence[str]) -> list[str]:
    return [f'<p class="note">{html.escape(note)}</p>' for note in notes]


def _ratio(evaluation: Evaluation) -> str:
    ratios = evaluation.ratios()
    if "mae" not in ratios:
        return ""
    return f" On common pixels its MAE is {ratios['mae']:.3f} of the baseline's."


def _inputs(files: Mapping[str, str]) -> tables.Table:
    rows = []
    for role, path in files.items():
        with open_raster(path) as dataset:
            height, width = dataset.shape
            name = crs_name(CRS(dataset.crs.to_wkt()))
            size = abs(dataset.transform.a)
        rows.append((role, Path(path).name, f"{height} × {width}", f"{size:g}", name,
                     _checksum(path)))  # fmt: skip
    return ("role", "file", "pixels", "pixel size", "CRS", "SHA-256"), rows


def _checksum(path: str) -> str:
    if is_remote(path) or not Path(path).is_file() or Path(path).stat().st_size > _HASHED:
        return "not computed"
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tags(path: str) -> tables.Table | None:
    with open_raster(path) as dataset:
        tags: dict[str, Any] = dataset.tags()
    if "bundle" not in tags:
        return None
    return ("tag", "value"), [(key, str(value)) for key, value in sorted(tags.items())]


def _bundle(path: str) -> list[str]:
    """Return the card of the shipped bundle that made the surface, if one did."""
    with open_raster(path) as dataset:
        made_by = dataset.tags().get("bundle_graph_sha256")
    if not made_by:
        return []
    for name, place in shipped_bundles().items():
        card = load_bundle(place).card
        if card.sha256.get("graph.onnx") == made_by:
            return _section(f"Bundle {name}", (("property", "value"), card_summary(card)))
    return []
