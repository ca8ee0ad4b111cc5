"""HTTPS to a coordinator whose certificate authority is known by its fingerprint."""

from __future__ import annotations

import hashlib
import http.client
import ssl

from coordinator.nodes.authority import SERVER_NAME


def unverified() -> ssl.SSLContext:
    """Believes anybody: only for fetching a CA certificate whose fingerprint is known."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(pem: str, ca_sha256: str) -> ssl.SSLContext | None:
    """Believes this certificate authority only; None where it is not the one with this fingerprint.

    Raises:
        ValueError: that is no certificate.
    """
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() != ca_sha256:
        return None
    return ssl.create_default_context(cadata=pem)


class PinnedConnection(http.client.HTTPSConnection):
    """Verifies the name that every coordinator's certificate bears, whatever address was dialled."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._medmesh_context = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._medmesh_context.wrap_socket(self.sock, server_hostname=SERVER_NAME)
