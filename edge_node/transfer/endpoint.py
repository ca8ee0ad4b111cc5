"""One address of the coordinator over HTTPS: the adapter between the node's ports and httpx."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from edge_node.errors import AbsentError, EdgeError, RangelessError, SourceError, UnreachableError
from edge_node.identity import tls
from edge_node.transfer.throttle import Throttle
from edge_node.transfer.traffic import Kind, Traffic
from protocols.artifacts import Artifact
from protocols.parcels import MAX_RECEIPT_BYTES

MAX_ANSWER_BYTES = 1024 * 1024
_MAX_WORDS = 300
_MAX_BLOCK_BYTES = 64 * 1024
_LEAST_BUFFER_BYTES, _MOST_BUFFER_BYTES = 4 * 1024, 1024 * 1024
_BUFFER_S = 0.5  # less would slow a satellite line down below its cap
_TUF = "/v1/tuf/"


def text_of(value: Any, most: int) -> str:
    """One printable line of at most ``most`` characters; control characters could deceive a terminal.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise ValueError
    return value


@dataclass(frozen=True)
class Whereabouts:
    """Where the coordinator says that it can be found."""

    node_url: str


@asynccontextmanager
async def http_client(
    context: ssl.SSLContext, connect_timeout_s: float, read_timeout_s: float, cap_kbps: float = 0.0
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that goes straight to the address: no proxies, no system authorities, no redirects.

    Args:
        context: whom to believe.
        connect_timeout_s: longest wait for a connection.
        read_timeout_s: longest silence within an answer.
        cap_kbps: the cap that the reader keeps to; 0: none. The system then takes in little ahead of the reader, so
            that the cap holds on the wire as well.
    """
    timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s)
    transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, socket_options=_socket_options(cap_kbps))
    async with httpx.AsyncClient(
        transport=transport, timeout=timeout, trust_env=False, follow_redirects=False
    ) as client:
        yield client


def _socket_options(cap_kbps: float) -> list[tuple[int, int, int]]:
    if not cap_kbps:
        return []
    size_bytes = min(max(int(cap_kbps * 125 * _BUFFER_S), _LEAST_BUFFER_BYTES), _MOST_BUFFER_BYTES)
    return [(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)]


class CoordinatorEndpoint:
    """The coordinator at one base address. Everything it sends is bounded; nothing of it is believed here."""

    def __init__(self, url: str, client: httpx.AsyncClient, traffic: Traffic, throttle: Throttle | None = None) -> None:
        """Args: throttle: for what is received; None: no cap."""
        self.url = url.rstrip("/")
        self._client = client
        self._traffic = traffic
        self._throttle = throttle or Throttle(0)

    async def published(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of the signed repository as it comes."""
        async with self._stream("GET", _TUF + path) as response:
            if response.status_code in (403, 404):
                await self._bounded(response, MAX_ANSWER_BYTES)
                raise AbsentError("edge.metadata_missing", path=path)
            if response.status_code != 200:
                await self._refuse(response)
            async for data in self._body(response, "metadata"):
                yield data

    async def status(self) -> Whereabouts:
        """What the coordinator says of itself; unsigned, a hint."""
        _, data = await self.call("GET", "/v1/status", MAX_ANSWER_BYTES)
        document = self.json_of(data)
        try:
            node_url = text_of(document["node_url"], 300)
            if not node_url.startswith("wss://"):
                raise ValueError
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError("edge.coordinator_malformed", url=self.url) from error
        return Whereabouts(node_url)

    async def renew(self, node: str, csr_pem: str, signature: str) -> str:
        """A fresh certificate for the node, which proves itself by its present key; it is not checked here."""
        body = {"node": node, "csr": csr_pem, "signature": signature}
        _, data = await self.call("POST", "/v1/renew", MAX_ANSWER_BYTES, json=body)
        certificate = self.json_of(data).get("certificate")
        if not isinstance(certificate, str):
            raise SourceError("edge.coordinator_malformed", url=self.url)
        return certificate

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield an artifact's bytes from ``start`` on; a server that ignores ranges costs bytes, not correctness.

        Args:
            artifact: which.
            start: the first byte.
            stop: where the wanted part ends; more may come.

        Raises:
            RangelessError: a part was asked for, and only the whole is to be had.
            SourceError: it cannot be had.
        """
        last = "" if stop is None else stop - 1
        whole = start == 0 and stop in (None, artifact.size_bytes)
        headers = {} if whole else {"Range": f"bytes={start}-{last}"}
        async with self._stream("GET", f"/v1/artifacts/{artifact.sha256}", headers=headers) as response:
            if response.status_code == 404:
                raise SourceError("edge.artifact_missing", artifact=artifact.sha256[:12], url=self.url)
            partial = response.status_code == 206
            if partial and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
                raise SourceError("edge.coordinator_malformed", url=self.url)
            if not partial and response.status_code != 200:
                await self._refuse(response)
            if not partial and stop is not None and stop < artifact.size_bytes:
                raise RangelessError("edge.no_ranges", url=self.url)
            skip = 0 if partial else start
            async for data in self._body(response, "coordinator"):
                dropped = min(skip, len(data))
                skip -= dropped
                if data[dropped:]:
                    yield data[dropped:]

    async def parcel(self, data: bytes) -> bytes | None:
        """Hand a node's parcel over; the receipt, which is not checked here. None: an older coordinator, which takes none."""
        status, answer = await self.call("POST", "/v1/parcels", MAX_RECEIPT_BYTES, accept=(200, 404), content=data)
        return None if status == 404 else answer

    async def knowledge_entry(self, entry_id: str) -> dict[str, Any] | None:
        """``{"kb_version", "entry"}`` of the coordinator's knowledge base; None where it has no such entry."""
        status, data = await self.call("GET", f"/v1/kb/entries/{entry_id}", MAX_ANSWER_BYTES, accept=(200, 404))
        return None if status == 404 else self.json_of(data)

    async def call(
        self, method: str, path: str, most_bytes: int, accept: tuple[int, ...] = (200,), **options: Any
    ) -> tuple[int, bytes]:
        async with self._stream(method, path, **options) as response:
            if response.status_code not in accept:
                await self._refuse(response)
            return response.status_code, await self._bounded(response, most_bytes)

    @asynccontextmanager
    async def _stream(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        options["headers"] = {"Accept-Encoding": "identity", **options.get("headers", {})}
        await self._throttle.paid()
        with self._translated():
            async with self._client.stream(
                method, self.url + path, extensions={"sni_hostname": tls.SERVER_NAME}, **options
            ) as response:
                yield response

    async def _body(self, response: httpx.Response, kind: Kind) -> AsyncIterator[bytes]:
        """What arrives, at once; the wait for the cap comes before the next block is taken from the system."""
        with self._translated():
            async for data in response.aiter_raw():
                for start in range(0, len(data), _MAX_BLOCK_BYTES):
                    block = data[start : start + _MAX_BLOCK_BYTES]
                    self._traffic.count(kind, len(block))
                    self._throttle.spend(len(block))
                    yield block
                    await self._throttle.paid()

    async def _bounded(self, response: httpx.Response, most_bytes: int) -> bytes:
        data = bytearray()
        async for block in self._body(response, "metadata"):
            data += block
            if len(data) > most_bytes:
                raise SourceError("edge.coordinator_malformed", url=self.url)
        return bytes(data)

    async def _refuse(self, response: httpx.Response) -> None:
        """Raise the coordinator's own error; one that it could mend later counts as not answering."""
        data = await self._bounded(response, MAX_ANSWER_BYTES)
        if response.status_code >= 500 or response.status_code == 429:
            raise UnreachableError("edge.coordinator_failing", url=self.url, status=response.status_code)
        try:
            words = json.loads(data)["error"]
            reason, advice = (text_of(words[key], _MAX_WORDS) for key in ("message", "remedy"))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SourceError("edge.coordinator_malformed", url=self.url) from error
        raise EdgeError("edge.coordinator_refused", reason=reason, advice=advice)

    def json_of(self, data: bytes) -> dict[str, Any]:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SourceError("edge.coordinator_malformed", url=self.url) from error
        if not isinstance(document, dict):
            raise SourceError("edge.coordinator_malformed", url=self.url)
        return document

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            if _is_out_of_date(error):
                raise SourceError("edge.coordinator_dates", url=self.url) from error
            if _is_foreign(error):
                raise SourceError("edge.coordinator_foreign", url=self.url) from error
            raise UnreachableError("edge.coordinator_unreachable", url=self.url) from error


_X509_NOT_YET_VALID, _X509_EXPIRED = 9, 10


def _is_out_of_date(error: BaseException | None) -> bool:
    """Whether TLS failed because, by this machine's clock, the other side's certificate is not valid now."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_code in (_X509_NOT_YET_VALID, _X509_EXPIRED)
        error = error.__cause__ or error.__context__
    return False


def _is_foreign(error: BaseException | None) -> bool:
    """Whether TLS failed because the other side's certificate is not the pinned coordinator's."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
