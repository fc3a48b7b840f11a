"""HTTP with limits: retries with back-off, total and low-speed limits, ranges, complete bodies.

Every fault of a service ends in a result after a retry or in one ``ResourceError``. A body that is
shorter than declared is a fault, never a result.
"""

from __future__ import annotations

import email.utils
import io
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from demiurge.errors import ResourceError, missing_extra
from demiurge.scene.files import NETWORK

#: Answers that may change when the request is repeated.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Answers of a service that does not accept the signature or the credentials.
DENIED = frozenset({401, 403})
_CHUNK = 2**16
#: Blocks in bytes that a :class:`RangeFile` reads, and how many it keeps.
_BLOCK, _KEPT = 2**18, 64


@dataclass(frozen=True)
class Limits:
    """Limits of one request, in seconds; the defaults are those of GDAL's requests.

    Attributes
    ----------
    connect, silence, total
        Time to connect, longest time without data, and time for the entire answer.
    tries
        Number of requests before the fault is reported.
    pause
        Pause before the second request; it doubles with every further one.
    longest_pause
        Longest pause, also if the service asks for a longer one.
    """

    connect: float = float(NETWORK["GDAL_HTTP_CONNECTTIMEOUT"])
    silence: float = float(NETWORK["GDAL_HTTP_LOW_SPEED_TIME"])
    total: float = float(NETWORK["GDAL_HTTP_TIMEOUT"])
    tries: int = 5
    pause: float = 0.5
    longest_pause: float = 60.0


class DeniedError(ResourceError):
    """A service denies access: the signature has expired, or credentials are missing."""


class MissingFileError(ResourceError):
    """A service has no such file."""


class _RetryableError(Exception):
    """A fault after which the request is repeated."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Client:
    """A client for JSON and byte ranges; threads may share it.

    Attributes
    ----------
    limits
        Limits of each request.
    sign
        Returns a signed URL, with ``True`` under a fresh signature. A denied request is signed
        again once.
    headers
        Sent with every request.
    """

    limits: Limits = field(default_factory=Limits)
    sign: Callable[[str, bool], str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the complete body of an answer.

        Raises
        ------
        ResourceError
            If the service does not answer completely within the limits.
        DeniedError
            If it denies access.
        """
        return self.request("GET", url, params=params, headers=headers)[1]

    def get_json(self, url: str, **settings: Any) -> Any:
        """Return the JSON document at a URL; errors as for :meth:`get`."""
        try:
            return json.loads(self.get(url, **settings))
        except ValueError:
            raise ResourceError(
                f"{shown(url)}: the answer is not JSON", "check the URL of the service"
            ) from None

    def read_range(self, url: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a file from an offset; fewer at its end.

        Raises
        ------
        ResourceError
            As for :meth:`get`, and if the server ignores ranges.
        """
        answer, body = self.request(
            "GET", url, headers={"Range": f"bytes={start}-{start + size - 1}"}, ranged=True
        )
        if answer.status_code == 416:
            return b""
        return body

    def size(self, url: str) -> int:
        """Return the size of a file in bytes, from the range of its first byte."""
        answer, _ = self.request("GET", url, headers={"Range": "bytes=0-0"}, ranged=True)
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if not total.isdigit():
            raise ResourceError(
                f"{shown(url)}: the server does not report the file's size",
                "download the file first",
            )
        return int(total)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        ranged: bool = False,
    ) -> tuple[Any, bytes]:
        """Send a request until it is answered completely.

        Parameters
        ----------
        params, body
            Parameters of the query, and a JSON document.
        ranged
            Require the answer to be a part of the file.

        Returns
        -------
        The answer of ``requests`` and its body.

        Raises
        ------
        ResourceError
            As for :meth:`get`.
        """
        signed = url if self.sign is None else self.sign(url, False)
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            try:
                answer, data = self._once(method, signed, params, body, headers)
            except _RetryableError as fault:
                if attempt >= self.limits.tries:
                    raise _given_up(url, str(fault), attempt) from None
                self._pause(attempt, fault.wait)
                continue
            status = answer.status_code
            if status in DENIED and self.sign is not None and not renewed:
                renewed, signed = True, self.sign(url, True)
                continue
            _require_success(url, status, ranged=ranged)
            return answer, data

    def _pause(self, attempt: int, wished: float | None) -> None:
        pause = self.limits.pause * 2 ** (attempt - 1) if wished is None else wished
        time.sleep(min(pause, self.limits.longest_pause))

    def _session(self) -> Any:
        """Return the session of this thread."""
        if not hasattr(self._local, "session"):
            self._local.session = _requests().Session()
        return self._local.session

    def _once(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None,
        body: Any,
        headers: Mapping[str, str] | None,
    ) -> tuple[Any, bytes]:
        """Send one request; return answer and body, or raise a retryable fault."""
        errors = _requests().exceptions
        limits, begin = self.limits, time.monotonic()
        # Compressed bodies have no checkable length.
        sent = {"Accept-Encoding": "identity", **self.headers, **(headers or {})}
        try:
            with self._session().request(
                method, url, params=params, json=body, headers=sent, stream=True,
                timeout=(limits.connect, limits.silence),
            ) as answer:  # fmt: skip
                if answer.status_code in _PASSING:
                    raise _RetryableError(f"HTTP {answer.status_code}", _wait_of(answer))
                parts = []
                for part in answer.iter_content(_CHUNK):
                    parts.append(part)
                    if time.monotonic() - begin > limits.total:
                        raise _RetryableError(f"no complete answer within {limits.total:g} s")
        except (errors.InvalidURL, errors.MissingSchema, errors.InvalidSchema):
            raise ResourceError(f"{shown(url)}: is not an HTTP URL", "check the URL") from None
        except errors.Timeout:
            raise _RetryableError("no answer in time") from None
        except errors.RequestException as error:
            raise _RetryableError(_reason(error)) from None
        data = b"".join(parts)
        declared = answer.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared) != len(data):
            raise _RetryableError(f"{len(data)} of {declared} bytes arrived")
        return answer, data


class RangeFile(io.RawIOBase):
    """A remote file, read by ranges of blocks. The last blocks are kept in memory.

    Parameters
    ----------
    url
        The file; its server must support ranges.
    client
        Requests the ranges.
    """

    def __init__(self, url: str, client: Client) -> None:
        super().__init__()
        self.url, self.client = url, client
        self.length = client.size(url)
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in bytes."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.length}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes; all that remain if negative."""
        left = max(0, self.length - self._position)
        size = left if size is None or size < 0 else min(size, left)
        if size == 0:
            return b""
        first, last = self._position // _BLOCK, (self._position + size - 1) // _BLOCK
        self._load(first, last)
        data = b"".join(self._blocks[index] for index in range(first, last + 1))
        start = self._position - first * _BLOCK
        self._position += size
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return data[start : start + size]

    def readall(self) -> bytes:
        """Return all remaining bytes."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _load(self, first: int, last: int) -> None:
        """Request the missing blocks of a range, neighbours at once."""
        missing = [i for i in range(first, last + 1) if i not in self._blocks]
        for index in range(first, last + 1):
            if index in self._blocks:
                self._blocks.move_to_end(index)
        while missing:
            start = end = missing.pop(0)
            while missing and missing[0] == end + 1:
                end = missing.pop(0)
            size = min((end + 1) * _BLOCK, self.length) - start * _BLOCK
            data = self.client.read_range(self.url, start * _BLOCK, size)
            if len(data) != size:
                raise ResourceError(
                    f"{shown(self.url)}: {len(data)} of {size} bytes arrived", "try again"
                )
            for index in range(start, end + 1):
                at = (index - start) * _BLOCK
                self._blocks[index] = data[at : at + _BLOCK]


def shown(url: str) -> str:
    """Return a URL for messages, without its query, which may hold a signature.

    >>> shown("https://a.org/b.tif?sig=secret")
    'https://a.org/b.tif'
    """
    return urlunsplit((*urlsplit(url)[:3], "", ""))


def _require_success(url: str, status: int, *, ranged: bool) -> None:
    if status in DENIED:
        raise DeniedError(
            f"{shown(url)}: access is denied (HTTP {status})",
            "check whether the service needs credentials",
        )
    if status == 404:
        raise MissingFileError(f"{shown(url)}: does not exist (HTTP 404)", "check the URL")
    if ranged and status == 200:
        raise ResourceError(
            f"{shown(url)}: the server cannot send parts of files", "download the file first"
        )
    if not (200 <= status < 300 or (ranged and status == 416)):
        raise ResourceError(f"{shown(url)}: the server answers HTTP {status}", "try again later")


def _given_up(url: str, reason: str, tries: int) -> ResourceError:
    return ResourceError(
        f"{shown(url)}: cannot be reached ({reason}, {tries} tries)",
        "check the URL and the connection, or try again later",
    )


def _wait_of(answer: Any) -> float | None:
    """Return the pause in seconds that a service asks for, or None."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _reason(error: Exception) -> str:
    """Return the cause of a connection error in a few words."""
    text = str(error)
    if "IncompleteRead" in text or "prematurely" in text:
        return "the answer was cut off"
    if "refused" in text:
        return "connection refused"
    if "resolve" in text or "getaddrinfo" in text:
        return "unknown host"
    return type(error).__name__.removesuffix("Error").lower() + " error"


def _requests() -> Any:
    try:
        import requests
    except ImportError:
        raise missing_extra("requests", "fetch", "reading from web services") from None
    return requests
