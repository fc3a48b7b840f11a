"""``view``: serves surfaces to the browser, or draws one picture of them."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from demiurge.errors import ResourceError, UsageError, missing_extra
from demiurge.paths import PathLike
from demiurge.viewer.cog import with_cogs
from demiurge.viewer.options import ViewOptions

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Viewer:
    """A running viewer.

    Attributes
    ----------
    url
        Address of the page.
    notes
        Sentences on the rasters.
    """

    url: str
    notes: tuple[str, ...]
    _server: Any
    _thread: threading.Thread

    def wait(self) -> None:
        """Serve until interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(5)


def view(*paths: PathLike, **keywords: Any) -> Viewer | Path:
    """Show surfaces and images in the browser, or write a snapshot.

    Parameters
    ----------
    paths
        Surfaces, images, scenes, folders of scenes, and JSON or HTML of ``evaluate``.
    keywords
        The other fields of :class:`demiurge.viewer.options.ViewOptions`.

    Returns
    -------
    The running viewer, or the picture's path if ``snapshot`` is given.

    Raises
    ------
    UsageError, DataError, ResourceError
        For missing files, rasters that cannot be shown, a port in use, or the missing extra.
    """
    options = ViewOptions(paths=list(paths), **keywords)
    shown: Sequence[PathLike] = options.paths
    if options.make_cog:
        shown = with_cogs(shown, overwrite=options.overwrite)
    if options.snapshot is not None:
        from demiurge.viewer.snapshot import snapshot

        return snapshot(shown, options)
    if options.bounds is not None or options.perspective:
        raise UsageError("--bounds and --3d are options of --snapshot", "add --snapshot OUT.png")
    return serve(shown, options.host, options.port, open_browser=options.browser)


def serve(
    paths: Sequence[PathLike],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    open_browser: bool = False,
    live: tuple[Path, dict[str, Any]] | None = None,
    proxied: bool = False,
) -> Viewer:
    """Serve rasters from a thread of this process.

    Parameters
    ----------
    proxied
        Accept any host with the token: requests come through a proxy.
    live
        Output of a running prediction, and the description of its raster.
    """
    try:
        import uvicorn

        from demiurge.viewer.connections import TimedConnection
        from demiurge.viewer.server import PAGE, create_app
    except ImportError as error:
        raise missing_extra(error.name or "titiler", "view", "viewing") from None
    if not PAGE.is_dir():
        raise ResourceError(
            "the page of the viewer was not built into this installation",
            "install Node.js and npm's registry access, then reinstall demiurge; or --snapshot",
        )
    from demiurge.viewer.catalogue import open_catalogue
    from demiurge.viewer.guard import Guard
    from demiurge.viewer.live import add_live, progress_of

    catalogue, progress = open_catalogue(paths), None
    if live is not None:
        add_live(catalogue, *live)
        progress = partial(progress_of, live[0])
    listener = _listen(host, port)
    bound = int(listener.getsockname()[1])
    token = "" if _is_loopback(host) and not proxied else secrets.token_urlsafe(16)
    hosts = frozenset[str]() if proxied else _names(host, bound)
    guarded = Guard(create_app(catalogue, progress), hosts, token)
    config = uvicorn.Config(
        guarded, http=TimedConnection, log_level="warning", access_log=False, limit_concurrency=256,
        timeout_keep_alive=5, h11_max_incomplete_event_size=16384, ws="none", lifespan="on",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=_run, args=(server, listener), daemon=True, name="view")
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{bound}/" + (f"?token={token}" if token else "")
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    return Viewer(url, tuple(catalogue.notes), server, thread)


def _run(server: Any, listener: socket.socket) -> None:
    with _without_signals(server):
        server.run(sockets=[listener])


@contextmanager
def _without_signals(server: Any) -> Any:
    """Leave signals to the main thread."""
    server.install_signal_handlers = lambda: None
    yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        raise ResourceError(
            f"cannot listen on {host}, port {port} ({error})", "choose another --port or --host"
        ) from None
    listener.listen(128)
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _names(host: str, port: int) -> frozenset[str]:
    """Return the accepted values of the header ``Host``."""
    names = {host.lower(), *_LOOPBACK}
    if not _is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower(), *_addresses()}
    full = {f"[{name}]" if ":" in name else name for name in names}
    return frozenset({f"{name}:{port}" for name in full} | ({*full} if port == 80 else set()))


def _addresses() -> set[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return set()
    return {str(one[4][0]) for one in found}
