"""One HTML file that says how good a surface is; it opens offline."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge._version import __version__
from demiurge.errors import missing_extra
from demiurge.evaluation import plots
from demiurge.evaluation.evaluate import Evaluation
from demiurge.figure import Panel, draw
from demiurge.scene.grid import Window, crs_name, pixel_size
from demiurge.scene.source import Source, is_remote, open_raster

Array = npt.NDArray[np.float32]

#: Pixels a side of the pictures, at most.
_MOST = 700
#: Files larger than this are told by size and time alone.
_HASHED = 2**31

ROWS = (
    ("count", "pixels compared", "{:d}"),
    ("coverage", "share of the reference", "{:.2%}"),
    ("mean", "mean error, m", "{:+.3f}"),
    ("median", "median error, m", "{:+.3f}"),
    ("mae", "MAE, m", "{:.3f}"),
    ("rmse", "RMSE, m", "{:.3f}"),
    ("std", "standard deviation, m", "{:.3f}"),
    ("nmad", "NMAD, m", "{:.3f}"),
    ("le68", "LE68, m", "{:.3f}"),
    ("le90", "LE90, m", "{:.3f}"),
    ("le95", "LE95, m", "{:.3f}"),
    ("q01", "1 % quantile, m", "{:+.3f}"),
    ("q99", "99 % quantile, m", "{:+.3f}"),
    ("within_1", "within 1 m", "{:.1%}"),
    ("within_2", "within 2 m", "{:.1%}"),
    ("within_5", "within 5 m", "{:.1%}"),
)

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ccc}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid #e4e4e4}
th:first-child,td:first-child{text-align:left}th{cursor:pointer;background:#f5f5f5}
img{max-width:100%}.note{background:#fff6dd;padding:.4em .8em}td.path{word-break:break-all}
@media print{h2{break-after:avoid}img,table{break-inside:avoid}body{margin:0}}
"""
_SORT = """
document.querySelectorAll('th').forEach(th=>th.onclick=()=>{const t=th.closest('table'),
i=[...th.parentNode.children].indexOf(th),b=t.tBodies[0],v=r=>{const s=r.cells[i].innerText,
n=parseFloat(s.replace('+',''));return isNaN(n)?s:n},d=th.dataset.d=-(th.dataset.d||-1);
[...b.rows].sort((x,y)=>(v(x)>v(y)?1:-1)*d).forEach(r=>b.append(r))})
"""


def require_plots() -> None:
    """Raise before any work if pictures cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_extra("matplotlib", "demo", "a report") from None


@dataclass
class Report:
    """Keeps what an evaluation reads, and writes it up."""

    _planes: dict[str, Array] = field(default_factory=dict)
    _pictures: list[tuple[str, str]] = field(default_factory=list)
    _gsd: float = 1.0

    def take(
        self,
        sources: Mapping[str, Source],
        grid: GeoBox,
        differences: Mapping[str, Array],
        about: Mapping[str, Array],
    ) -> None:
        """Draw pictures of what was read; see :class:`demiurge.evaluation.evaluate.Taker`."""
        rows, columns = int(grid.shape[0]), int(grid.shape[1])
        step = max(1, -(-max(rows, columns) // _MOST))
        whole = Window(0, 0, rows, columns)
        for role in ("surface", "baseline", "reference"):
            if role in sources:
                self._planes[role] = sources[role].read(grid, whole, step)
        self._gsd = pixel_size(grid) * step
        self._add("Heights, in the same light", self._heights)
        self._add("Errors: blue is too high, red too low", self._errors)
        self._add("How errors are spread", lambda file: plots.histogram(file, differences))
        self._add("Profiles through the largest errors", self._profiles)
        self._add("Errors by slope", lambda file: plots.by_slope(file, differences, about["slope"]))
        if "spread" in about:
            told = (differences["surface"], about["spread"])
            self._add("Uncertainty", lambda file: plots.reliability(file, *told))

    def _add(self, title: str, paint: Callable[[io.BytesIO], None]) -> None:
        file = io.BytesIO()
        paint(file)
        self._pictures.append((title, base64.b64encode(file.getvalue()).decode()))

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

    def write(self, path: Path, found: Evaluation) -> None:
        """Write the report."""
        parts = [
            f"<h1>{html.escape(Path(found.files['surface']).name)}</h1>",
            f"<p>against {html.escape(Path(found.files['reference']).name)}: "
            f"MAE {found.surface.mae:.3f} m, RMSE {found.surface.rmse:.3f} m, over "
            f"{found.surface.coverage:.1%} of the reference.{_gain(found)}</p>",
            *(f'<p class="note">{html.escape(note)}</p>' for note in found.notes),
            "<h2>Figures</h2>",
            _table(*figures(found)),
            "<h2>By class</h2>",
            _classes(found),
            *_doubt(found),
            *(
                f'<h2>{html.escape(title)}</h2><img alt="{html.escape(title)}" '
                f'src="data:image/png;base64,{picture}">'
                for title, picture in self._pictures
            ),
            "<h2>Inputs</h2>",
            _inputs(found.files),
            _tags(found.files["surface"]),
            f"<p>demiurge {__version__}. Reference and baseline were brought to the surface's "
            "grid, heights bilinearly, a coarser baseline cubically.</p>",
        ]
        title = html.escape(Path(found.files["surface"]).name)
        text = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style><body>{''.join(parts)}<script>{_SORT}</script></body></html>"
        )
        path.write_text(text, encoding="utf-8")


def _gain(found: Evaluation) -> str:
    ratios = found.ratios()
    if "mae" not in ratios:
        return ""
    return f" On common pixels its MAE is {ratios['mae']:.3f} of the baseline's."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def figures(found: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the table of figures, for the terminal and the report alike."""
    if found.common is None:
        own = found.surface.as_dict()
        return ("", "surface"), [(name, form.format(own[key])) for key, name, form in ROWS]
    surface, baseline = (s.as_dict() for s in found.common)
    ratios = found.ratios()
    return ("where both have heights", "surface", "baseline", "ratio"), [
        (
            name,
            form.format(surface[key]),
            form.format(baseline[key]),
            f"{ratios[key]:.3f}" if key in ratios else "",
        )
        for key, name, form in ROWS
    ]


def _classes(found: Evaluation) -> str:
    rows = []
    for name, (own, other) in found.strata.items():
        theirs = ("", "") if other is None else (f"{other.mae:.3f}", f"{own.mae / other.mae:.3f}")
        rows.append(
            (name, str(own.count), f"{own.mae:.3f}", f"{own.rmse:.3f}", f"{own.nmad:.3f}", *theirs)
        )
    head = ("class", "pixels", "MAE, m", "RMSE, m", "NMAD, m", "baseline MAE, m", "ratio")
    return _table(head, rows)


def _doubt(found: Evaluation) -> list[str]:
    if found.doubt is None:
        return []
    rows = [(level, f"{share:.1%}") for level, share in found.doubt.inside.items()]
    return [
        "<h2>Uncertainty, in figures</h2>",
        _table(("interval", "errors inside"), rows),
        f"<p>Mean log-likelihood {found.doubt.likelihood:.3f}. The half told to be surest errs "
        f"{found.doubt.surest_half:.2f} times the whole, at best {found.doubt.best_half:.2f}.</p>",
    ]


def _inputs(files: Mapping[str, str]) -> str:
    rows = []
    for role, path in files.items():
        with open_raster(path) as dataset:
            rows_, columns = dataset.shape
            from odc.geo.crs import CRS

            name = crs_name(CRS(dataset.crs.to_wkt()))
            size = abs(dataset.transform.a)
        rows.append((role, Path(path).name, f"{rows_} × {columns}", f"{size:g}", name, _sum(path)))
    return _table(("role", "file", "pixels", "pixel size", "CRS", "SHA-256"), rows)


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
    return "<h2>What the surface says of itself</h2>" + _table(("tag", "value"), rows)
