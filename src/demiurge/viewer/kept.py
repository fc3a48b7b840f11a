"""Tiles sent last, kept as they were sent: clients ask for the same ones again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from demiurge.viewer.guard import App, Receive, Scope, Send

Messages = list[Any]
#: Most bytes of kept tiles, and of one.
_MOST, _LARGEST = 64 * 2**20, 2**20


class KeptTiles:
    """ASGI middleware: answers a repeated request for a tile from memory.

    Parameters
    ----------
    state
        Returns what changes when one of the files is written again; tiles of before are not sent.
    most
        Most bytes of kept tiles.
    """

    def __init__(self, app: App, state: Callable[[], Hashable], most: int = _MOST) -> None:
        self.app, self._state, self._most = app, state, most
        self._kept, self._size = OrderedDict[Hashable, Messages](), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or "/tiles/" not in scope["path"] or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        key = (scope["path"], scope["query_string"], self._state())
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            for message in known:
                # What sends a message may change it.
                await send(dict(message))
            return
        sent: Messages = []

        async def record(message: Any) -> None:
            sent.append(dict(message))
            await send(message)

        await self.app(scope, receive, record)
        if sent and sent[0].get("status") == 200:
            self._keep(key, sent)

    def _keep(self, key: Hashable, sent: Messages) -> None:
        size = _size(sent)
        if size > _LARGEST or key in self._kept:
            return
        self._kept[key] = sent
        self._size += size
        while self._size > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._size -= _size(oldest)


def _size(sent: Messages) -> int:
    return sum(len(message.get("body", b"")) for message in sent)
