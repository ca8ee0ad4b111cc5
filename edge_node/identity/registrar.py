"""The coordinator as a node sees it that wants to join: a port."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Enrolled:
    """The coordinator's answer to a certificate request."""

    node: str
    certificate_pem: str
    coordinator: str
    node_url: str
    groups: tuple[str, ...]


class Registrar(Protocol):
    """One address of a coordinator, as a node that wants to join sees it."""

    url: str

    async def ca_pem(self) -> str:
        """The CA certificate, from whoever answers: the caller checks it."""
        ...

    async def root(self) -> bytes:
        """The TUF root metadata to start from: the caller checks it."""
        ...

    def trusting(self, ca_pem: str) -> AbstractAsyncContextManager[Registrar]:
        """The same address over TLS that believes ``ca_pem`` only."""
        ...

    async def enrol(self, token: str, name: str, csr_pem: str) -> Enrolled:
        """Ask for a certificate.

        Raises:
            EdgeError: ``edge.coordinator_refused`` with the coordinator's own words.
            SourceError: nobody answered.
        """
        ...


class Renewer(Protocol):
    """One address of the coordinator, as a node sees it whose certificate ends."""

    async def renew(self, node: str, csr_pem: str, signature: str) -> str:
        """A fresh certificate, PEM.

        Raises:
            EdgeError: ``edge.coordinator_refused`` with the coordinator's own words.
            SourceError: nobody answered.
        """
        ...
