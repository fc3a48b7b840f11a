"""One HTML file on many sites; it opens offline."""

from __future__ import annotations

import html
from pathlib import Path

from demiurge._version import __version__
from demiurge.evaluation.report import plots
from demiurge.evaluation.report.page import html_page, html_picture, html_table, painted
from demiurge.evaluation.report.tables import class_rows, interval_rows, site_rows
from demiurge.evaluation.sites import Sites


def page(listed: Path, found: Sites) -> str:
    """Return the report on the sites of a table."""
    title = html.escape(listed.name)
    pooled = interval_rows(found)
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{len(found.sites)} sites, {found.surface.count} pixels: MAE {found.surface.mae:.3f} "
        f"m, RMSE {found.surface.rmse:.3f} m.</p>",
        *(f'<p class="note">{html.escape(note)}</p>' for note in found.notes),
        *(["<h2>All sites</h2>", html_table(*pooled)] if pooled is not None else []),
        html_picture("Sites", painted(lambda file: plots.by_site(file, found))),
        html_table(*site_rows(found)),
        "<h2>By class, all sites</h2>",
        html_table(*class_rows(found)),
        f"<p>demiurge {__version__}. Intervals: sites drawn with replacement, 2,000 times. "
        "References and baselines were brought to each surface's grid, heights bilinearly, a "
        "coarser baseline cubically.</p>",
    ]
    return html_page(title, parts)
