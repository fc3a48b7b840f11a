"""Self-contained HTML summaries and their pictures, as notebooks show them, without Matplotlib."""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.raster.terrain import hillshade

#: Largest side of a thumbnail in pixels.
THUMBNAIL = 240
#: Colours of heights from low to high, of similar steps in lightness for all kinds of colour
#: vision: samples of Matplotlib's viridis.
_RAMP = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64
)
#: Share of the hillshade in the lightness of a thumbnail.
_SHADE = 0.6
_BOX = "font:13px/1.45 system-ui,sans-serif;max-width:60em;border:1px solid #8886;padding:.7em 1em"
_CELL = "text-align:left;padding:.1em .9em .1em 0;vertical-align:top;font-size:13px"
_HEAD = f"{_CELL};white-space:nowrap"
_NOTE = "border-left:3px solid #d9a400;padding-left:.6em;margin:.4em 0"

#: (rows, columns, 4) bytes: red, green, blue, opacity.
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Picture:
    """A picture and its caption."""

    caption: str
    pixels: Pixels


@dataclass(frozen=True)
class Table:
    """A table with a heading for each column."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def html_summary(
    title: str,
    facts: Iterable[tuple[str, str]],
    *,
    pictures: Sequence[Picture] = (),
    tables: Sequence[Table] = (),
    folded: tuple[str, Table] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return a summary as HTML without links, scripts or outer files. All texts are escaped.

    Parameters
    ----------
    facts
        Headings and texts; empty texts are left out.
    folded
        A title and a table that opens on a click.
    """
    parts = [f'<div style="{_BOX}"><strong style="font-size:1.15em">{html.escape(title)}</strong>']
    parts.append('<div style="display:flex;flex-wrap:wrap;gap:1em;margin:.5em 0">')
    parts += [_figure(picture) for picture in pictures]
    parts.append("</div>")
    parts.append(_rows((heading, text) for heading, text in facts if text))
    parts += [_table(table) for table in tables if table.rows]
    parts += [f'<p style="{_NOTE}">{html.escape(note)}</p>' for note in notes]
    if folded is not None and folded[1].rows:
        summary = f"<summary>{html.escape(folded[0])}</summary>"
        parts.append(f"<details>{summary}{_table(folded[1])}</details>")
    return "\n".join([*parts, "</div>"])


def _figure(picture: Picture) -> str:
    source = base64.b64encode(png(picture.pixels)).decode()
    height, width = picture.pixels.shape[:2]
    caption = html.escape(picture.caption)
    return (
        f'<figure style="margin:0"><img alt="{caption}" width="{width}" height="{height}" '
        f'style="max-width:100%;background:#8883" src="data:image/png;base64,{source}">'
        f'<figcaption style="font-size:.9em">{caption}</figcaption></figure>'
    )


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f'<tr><th scope="row" style="{_HEAD}">{html.escape(a)}</th>'
        f'<td style="{_CELL};overflow-wrap:anywhere">{html.escape(b)}</td></tr>'
        for a, b in pairs
    )
    return f"<table>{cells}</table>"


def _table(table: Table) -> str:
    head = "".join(f'<th style="{_HEAD}">{html.escape(text)}</th>' for text in table.heads)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in table.rows)
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<table style="margin-top:.5em">{head}<tbody>{body}</tbody></table>'


def _cells(row: Sequence[str]) -> str:
    styles = [_HEAD, *[f"{_CELL};overflow-wrap:anywhere"] * (len(row) - 1)]
    pairs = zip(styles, row, strict=True)
    return "".join(f'<td style="{style}">{html.escape(text)}</td>' for style, text in pairs)


def png(pixels: Pixels) -> bytes:
    """Return red, green, blue and opacity as a PNG."""
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    height, width, count = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile() as file:
            with file.open(
                driver="PNG", height=height, width=width, count=count, dtype="uint8"
            ) as image:
                image.write(pixels.transpose(2, 0, 1))
            return bytes(file.read())


def shaded(heights: Array, gsd: float) -> tuple[Pixels, float, float]:
    """Colour heights and shade them.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres; NaN becomes transparent.
    gsd
        Pixel size in metres.

    Returns
    -------
    The pixels, and the heights of the lowest and the highest colour (2 and 98 %; NaN without
    heights).
    """
    known = np.isfinite(heights)
    if not known.any():
        return _opaque(np.zeros((*heights.shape, 3)), known), np.nan, np.nan
    low, high = np.percentile(heights[known], (2, 98))
    share = np.clip((np.where(known, heights, low) - low) / max(high - low, 1e-6), 0, 1)
    stops = np.linspace(0, 1, len(_RAMP))
    colour = np.stack([np.interp(share, stops, band) for band in _RAMP.T], axis=-1)
    shade = np.nan_to_num(hillshade(heights, gsd), nan=0.7)
    light = 1 - _SHADE + _SHADE * np.clip(shade / 0.7, 0, 1.4)
    return _opaque(colour * light[..., None], known), float(low), float(high)


def stretched(bands: Array) -> Pixels:
    """Stretch one grey or three colour bands to bytes, from 2 to 98 % each.

    Parameters
    ----------
    bands
        float32 (1 or 3, rows, columns); NaN becomes transparent.
    """
    known = np.isfinite(bands).all(axis=0)
    planes = []
    for band in bands:
        low, high = np.percentile(band[known], (2, 98)) if known.any() else (0, 1)
        planes.append(255 * (np.where(known, band, low) - low) / max(high - low, 1e-6))
    planes = planes * 3 if len(planes) == 1 else planes
    return _opaque(np.stack(planes, axis=-1), known)


def _opaque(colour: Any, known: Any) -> Pixels:
    opacity = np.where(known, 255, 0)
    return np.dstack([np.clip(np.rint(colour), 0, 255), opacity]).astype(np.uint8)


def thinning(shape: tuple[int, int]) -> int:
    """Return the step that thins a raster to the size of a thumbnail."""
    return max(1, -(-max(shape) // THUMBNAIL))
