"""One address of the coordinator over HTTPS: the adapter between the node's ports and httpx."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from edge_node.errors import AbsentError, EdgeError, SourceError, UnreachableError
from edge_node.identity import tls
from edge_node.transfer.traffic import Traffic
from protocols.artifacts import Artifact

MAX_ANSWER_BYTES = 1024 * 1024
_MAX_WORDS = 300
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
    context: ssl.SSLContext, connect_timeout_s: float, read_timeout_s: float
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that goes straight to the address: no proxies, no system authorities, no redirects."""
    timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s)
    async with httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False, follow_redirects=False) as client:
        yield client


class CoordinatorEndpoint:
    """The coordinator at one base address. Everything it sends is bounded; nothing of it is believed here."""

    def __init__(self, url: str, client: httpx.AsyncClient, traffic: Traffic) -> None:
        self.url = url.rstrip("/")
        self._client = client
        self._traffic = traffic

    async def published(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of the signed repository as it comes."""
        async with self._stream("GET", _TUF + path) as response:
            if response.status_code in (403, 404):
                await self._bounded(response, MAX_ANSWER_BYTES)
                raise AbsentError("edge.metadata_missing", path=path)
            if response.status_code != 200:
                await self._refuse(response)
            async for data in self._body(response):
                self._traffic.count("metadata", len(data))
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

    async def read(self, artifact: Artifact, start: int) -> AsyncGenerator[bytes, None]:
        """Yield an artifact's bytes from ``start``; a server that ignores ranges costs bytes, not correctness."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        async with self._stream("GET", f"/v1/artifacts/{artifact.sha256}", headers=headers) as response:
            if response.status_code == 404:
                raise SourceError("edge.artifact_missing", artifact=artifact.sha256[:12], url=self.url)
            partial = response.status_code == 206
            if partial and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
                raise SourceError("edge.coordinator_malformed", url=self.url)
            if not partial and response.status_code != 200:
                await self._refuse(response)
            skip = 0 if partial else start
            async for data in self._body(response):
                self._traffic.count("coordinator", len(data))
                dropped = min(skip, len(data))
                skip -= dropped
                if data[dropped:]:
                    yield data[dropped:]

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
        with self._translated():
            async with self._client.stream(
                method, self.url + path, extensions={"sni_hostname": tls.SERVER_NAME}, **options
            ) as response:
                yield response

    async def _body(self, response: httpx.Response) -> AsyncIterator[bytes]:
        with self._translated():
            async for data in response.aiter_raw():
                yield data

    async def _bounded(self, response: httpx.Response, most_bytes: int) -> bytes:
        data = bytearray()
        async for block in self._body(response):
            self._traffic.count("metadata", len(block))
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
