"""What all reports share: a page that needs nothing else, and tables that sort."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence

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


def html_page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page; ``title`` and ``parts`` are HTML already."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}<script>{_SORT}</script></body></html>"
    )


def painted(paint: Callable[[io.BytesIO], None]) -> str:
    """Return what a painter writes as PNG, ready to be put into a page."""
    file = io.BytesIO()
    paint(file)
    return base64.b64encode(file.getvalue()).decode()


def html_picture(title: str, picture: str) -> str:
    """Return a heading and the painted picture below it."""
    said = html.escape(title)
    return f'<h2>{said}</h2><img alt="{said}" src="data:image/png;base64,{picture}">'


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
