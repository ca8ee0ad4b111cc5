"""One address of a coordinator that this node does not belong to yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from edge_node.errors import SourceError
from edge_node.identity import tls
from edge_node.identity.registrar import Enrolled, Registrar
from edge_node.transfer.endpoint import MAX_ANSWER_BYTES, CoordinatorEndpoint, http_client, text_of
from edge_node.transfer.traffic import Traffic

_MAX_CA_BYTES = 64 * 1024
_MAX_ROOT_BYTES = 128 * 1024
_MAX_GROUPS = 64


class RegistrarEndpoint(CoordinatorEndpoint):
    """The coordinator as a node sees it that has not joined yet."""

    def __init__(self, url: str, client: httpx.AsyncClient, timeouts_s: tuple[float, float]) -> None:
        super().__init__(url, client, Traffic())
        self._timeouts_s = timeouts_s

    async def ca_pem(self) -> str:
        """The CA certificate of whoever answers."""
        _, data = await self.call("GET", "/v1/ca.pem", _MAX_CA_BYTES)
        return data.decode("ascii", "replace")

    async def root(self) -> bytes:
        """The TUF root metadata of whoever answers."""
        _, data = await self.call("GET", "/v1/root.json", _MAX_ROOT_BYTES)
        return data

    @asynccontextmanager
    async def trusting(self, ca_pem: str) -> AsyncIterator[Registrar]:
        """The same address, believing ``ca_pem`` only."""
        async with http_client(tls.pinned(ca_pem), *self._timeouts_s) as client:
            yield RegistrarEndpoint(self.url, client, self._timeouts_s)

    async def enrol(self, token: str, name: str, csr_pem: str) -> Enrolled:
        """Send the certificate request."""
        body = {"token": token, "name": name, "csr": csr_pem}
        _, data = await self.call("POST", "/v1/enrol", MAX_ANSWER_BYTES, json=body)
        document = self.json_of(data)
        try:
            node_url = text_of(document["node_url"], 300)
            if not node_url.startswith("wss://") or not isinstance(document["certificate"], str):
                raise ValueError
            groups = document["groups"]
            if not isinstance(groups, list) or len(groups) > _MAX_GROUPS:
                raise ValueError
            return Enrolled(
                node=text_of(document["node"], 100),
                certificate_pem=document["certificate"],
                coordinator=text_of(document["coordinator"], 200),
                node_url=node_url,
                groups=tuple(text_of(group, 60) for group in groups),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError("edge.coordinator_malformed", url=self.url) from error
