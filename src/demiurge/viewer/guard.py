"""Protection of the local server: who may ask, from where, and how much."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Longest path and query in bytes.
_LONGEST = 2048
_COOKIE = "demiurge_token"
_TOKEN = "the token is missing; open the address that demiurge printed"
#: The page loads nothing from elsewhere; MapLibre starts its workers from blobs.
_HEADERS = (
    (b"content-security-policy",
     b"default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; "
     b"child-src blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self' "
     b"http://localhost:* http://127.0.0.1:*; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip


class Guard:
    """ASGI middleware: refuses foreign hosts and origins, missing tokens and odd requests.

    Parameters
    ----------
    app
        The application.
    hosts
        Accepted values of ``Host``, in lower case, with the port; empty behind a proxy, where
        the token decides alone.
    token
        Required in the query, once, or in a cookie; empty if the server listens on loopback.
    """

    def __init__(self, app: App, hosts: frozenset[str], token: str = "") -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with a 4xx."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1")
                   for name, value in scope["headers"]}  # fmt: skip
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        fresh = bool(self.token) and "token=" in scope["query_string"].decode("latin-1")

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = list(_HEADERS)
                if fresh:
                    cookie = f"{_COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                    added.append((b"set-cookie", cookie.encode()))
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        origin = headers.get("origin")
        known = bool(self.hosts)
        foreign = (
            known and origin is not None and origin.split("://", 1)[-1].lower() not in self.hosts
        )
        body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        length = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        checks = (
            (scope["method"] not in ("GET", "HEAD"), 405, "only GET is answered"),
            (length > _LONGEST, 414, "the address is too long"),
            (
                known and headers.get("host", "").lower() not in self.hosts,
                403,
                "this host is not served",
            ),
            (foreign, 403, "this origin is not served"),
            (body, 413, "requests have no body"),
            (bool(self.token) and not self._known(scope, headers), 401, _TOKEN),
        )
        return next(((status, text) for bad, status, text in checks if bad), None)

    def _known(self, scope: Scope, headers: dict[str, str]) -> bool:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except Exception:
            cookie = None
        given = [*query.get("token", []), *([cookie.value] if cookie else [])]
        return any(hmac.compare_digest(one.encode(), self.token.encode()) for one in given)


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode()
    start = {
        "type": "http.response.start", "status": status,
        "headers": [(b"content-type", b"text/plain; charset=utf-8"),
                    (b"content-length", str(len(body)).encode())],
    }  # fmt: skip
    await send(start)
    await send({"type": "http.response.body", "body": body})
