"""The viewer in a notebook."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from demiurge.paths import PathLike
from demiurge.viewer.run import Viewer, serve

#: Viewers of this process by the files that they show; each shows the files as they are now.
_VIEWERS: dict[tuple[str, ...], Viewer] = {}


@dataclass(frozen=True)
class ViewerFrame:
    """The page of a viewer as a frame of a notebook."""

    viewer: Viewer
    url: str
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{escape(self.url)}" title="demiurge view" '
            f'style="width:100%;height:{self.height}px;border:1px solid #8886"></iframe>'
        )


def explore(paths: Sequence[PathLike], height: int = 600) -> ViewerFrame:
    """Serve files and return the page as a frame.

    On JupyterHub, or where ``DEMIURGE_PROXY`` holds an address such as ``/user/me/proxy/{port}/``,
    the page goes through jupyter-server-proxy, with a token.
    """
    proxy = proxy_address()
    key = tuple(str(path) for path in paths)
    if (old := _VIEWERS.pop(key, None)) is not None:
        old.close()
    viewer = _VIEWERS[key] = serve(paths, proxied=proxy is not None)
    url = viewer.url
    if proxy is not None:
        parts = urlsplit(url)
        url = proxy.replace("{port}", str(parts.port)) + f"?{parts.query}"
    return ViewerFrame(viewer, url, height)


def proxy_address() -> str | None:
    """Return the address of the proxy with ``{port}`` in it, None without one."""
    if given := os.environ.get("DEMIURGE_PROXY"):
        return given if given.endswith("/") else f"{given}/"
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix.rstrip('/')}/proxy/{{port}}/" if prefix else None
