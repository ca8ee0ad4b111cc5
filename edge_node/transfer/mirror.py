"""The coordinator's immutable files and signed metadata from any plain file server or CDN.

Nothing of it is believed, so there is neither the pinned CA nor the node's certificate: https needs only the system's
authorities, http will do. The tree is what ``medmesh-coordinator release mirror`` writes.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx

from edge_node.errors import AbsentError, RangelessError, SourceError, UnreachableError
from edge_node.transfer.throttle import Throttle
from edge_node.transfer.traffic import Traffic
from protocols.artifacts import Artifact

_MAX_REDIRECTS = 3
_ABSENT = (403, 404, 410)  # object stores answer 403 for what is not there


@asynccontextmanager
async def mirror_client(connect_timeout_s: float, read_timeout_s: float) -> AsyncIterator[httpx.AsyncClient]:
    """A client for mirrors: the system's authorities, few redirects, no proxies, no certificate of ours."""
    timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s)
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=timeout,
        trust_env=False,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
    ) as client:
        yield client


class Mirror:
    """One base address. Once it does not answer it is not asked again, so that a dead one costs its time-out once."""

    def __init__(self, url: str, client: httpx.AsyncClient, traffic: Traffic, throttle: Throttle) -> None:
        self.url = url.rstrip("/")
        self._client = client
        self._traffic = traffic
        self._throttle = throttle
        self._is_gone = False
        self._broken_off: set[str] = set()

    async def published(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of the signed repository as it comes."""
        async with self._stream(f"/v1/tuf/{path}", {}) as response:
            if response.status_code in _ABSENT:
                raise AbsentError("edge.metadata_missing", path=path)
            if response.status_code != 200:
                raise self._failed()
            async for data in response.aiter_raw():
                self._traffic.count("metadata", len(data))
                await self._throttle.take(len(data))
                yield data

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield an artifact's bytes from ``start`` to ``stop`` (exclusive; None: the end) as they come.

        Raises:
            RangelessError: a part was asked for, and only the whole is to be had.
            SourceError: it cannot be had; what broke off once is left to others, who would have to answer for its bytes.
        """
        if artifact.sha256 in self._broken_off:
            raise self._failed()
        end = artifact.size_bytes if stop is None else stop
        whole = start == 0 and end == artifact.size_bytes
        headers = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        async with self._stream(f"/v1/artifacts/{artifact.sha256}", headers) as response:
            partial = self._is_partial(response, artifact, start)
            if not partial and end < artifact.size_bytes:
                raise RangelessError("edge.no_ranges", url=self.url)
            at = start if partial else 0
            try:
                async for data in response.aiter_raw():
                    self._traffic.count("mirror", len(data))
                    await self._throttle.take(len(data))
                    wanted = data[max(start - at, 0) : max(end - at, 0)]
                    at += len(data)
                    if wanted:
                        yield wanted
                    if at >= end:
                        return
            except httpx.HTTPError:
                self._broken_off.add(artifact.sha256)
                raise
            self._broken_off.add(artifact.sha256)

    def _is_partial(self, response: httpx.Response, artifact: Artifact, start: int) -> bool:
        if response.status_code in _ABSENT:
            raise SourceError("edge.artifact_missing", artifact=artifact.sha256[:12], url=self.url)
        if response.status_code == 206:
            if not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
                raise self._failed()
            return True
        if response.status_code != 200:
            raise self._failed()
        return False

    @asynccontextmanager
    async def _stream(self, path: str, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        if self._is_gone:
            raise self._failed()
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            async with self._client.stream("GET", self.url + path, headers=headers) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            self._is_gone = isinstance(error, httpx.TimeoutException | httpx.ConnectError)
            raise self._failed() from error

    def _failed(self) -> UnreachableError:
        return UnreachableError("edge.mirror_failed", url=self.url)
