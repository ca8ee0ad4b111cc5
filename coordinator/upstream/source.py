"""Fetching from another network: nothing that comes is believed, and nothing that comes is endless. Blocking."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from typing import Protocol

from coordinator.errors import CoordinatorError
from coordinator.web.pinned import PinnedConnection

_TIMEOUT_S = 20.0
_GRACE_S = 60.0
_LEAST_BYTES_PER_S = 2_000.0  # on the whole; a drip-feed must not hold a refresh for ever
_BLOCK = 1 << 16


class AbsentError(CoordinatorError):
    """The other side answers and does not have what was asked for."""


class Source(Protocol):
    """Where another network's files come from."""

    def get(self, path: str, start: int = 0) -> Iterator[bytes]:
        """A file's bytes from ``start`` on, such as of ``/v1/tuf/metadata/timestamp.json``.

        Raises:
            AbsentError: there is none.
            CoordinatorError: ``upstream.unreachable``.
        """
        ...


class HttpsSource:
    """A coordinator, whose authority is pinned, or a plain file server with its files."""

    def __init__(self, url: str, ca_pem: str | None) -> None:
        """Args: ca_pem: the only authority to believe, for the name that every coordinator bears; None: the public ones.

        Raises:
            CoordinatorError: ``upstream.bad_url`` or ``upstream.bad_file``.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise CoordinatorError("upstream.bad_url")
        self._url = url
        self._host, self._base = parts.hostname, parts.path.rstrip("/")
        self._port = parts.port or 443
        self._pinned = ca_pem is not None
        try:
            self._context = ssl.create_default_context(cadata=ca_pem) if ca_pem else ssl.create_default_context()
        except ssl.SSLError as error:
            raise CoordinatorError("upstream.bad_file") from error

    def get(self, path: str, start: int = 0) -> Iterator[bytes]:
        """See ``Source``."""
        connection = (
            PinnedConnection(self._host, self._port, self._context, _TIMEOUT_S)
            if self._pinned
            else http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=self._context)
        )
        try:
            yield from self._blocks(connection, path, start)
        except (OSError, http.client.HTTPException) as error:
            raise CoordinatorError("upstream.unreachable", url=self._url, problem=type(error).__name__) from error
        finally:
            connection.close()

    def _blocks(self, connection: http.client.HTTPSConnection, path: str, start: int) -> Iterator[bytes]:
        begun = time.monotonic()
        headers = {"Range": f"bytes={start}-"} if start else {}
        connection.request("GET", self._base + urllib.parse.quote(path), headers=headers)
        answer = connection.getresponse()
        if answer.status == http.client.NOT_FOUND:
            raise AbsentError("upstream.absent", path=path)
        if answer.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            raise CoordinatorError("upstream.unreachable", url=self._url, problem=f"HTTP {answer.status}")
        skip = start if answer.status == http.client.OK else 0
        got = 0
        while block := answer.read1(_BLOCK):
            got += len(block)
            if time.monotonic() - begun > _GRACE_S + got / _LEAST_BYTES_PER_S:
                raise CoordinatorError("upstream.unreachable", url=self._url, problem="too slow")
            if skip >= len(block):
                skip -= len(block)
                continue
            yield block[skip:]
            skip = 0
