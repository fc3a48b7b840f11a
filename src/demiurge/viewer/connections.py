"""HTTP connections of the viewer: closed if a request or the reading of an answer takes too long.

The server's own limits concern idle connections only: unfinished requests, and answers that nobody
reads, would keep their places until no other client is served.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds until a request is complete, and from there until its answer has been read.
REQUEST, ANSWER = 5.0, 60.0


class TimedConnection(H11Protocol):
    """A connection with a time limit for each request and each answer."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._close_in(REQUEST)

    def handle_events(self) -> None:
        """Begin to wait for the answer once a request is complete."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._close_in(ANSWER)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._close_in(REQUEST)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _close_in(self, seconds: float) -> None:
        self._stop()
        self._limit = self.loop.call_later(seconds, self._abort)

    def _abort(self) -> None:
        # A reader that reads nothing would keep an orderly end waiting.
        self.transport.abort()

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
