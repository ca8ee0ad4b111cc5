"""TLS contexts: the pinned CA and nothing else. System authorities are never loaded."""

from __future__ import annotations

import ssl
from pathlib import Path

SERVER_NAME = "coordinator.medmesh"  # in the coordinator's certificate, whatever its address is


def pinned(ca_pem: str, credentials: Path | None = None) -> ssl.SSLContext:
    """A client context that believes ``ca_pem`` only; with ``credentials`` it also shows the node's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca_pem)
    if credentials is not None:
        context.load_cert_chain(credentials)
    return context


def unverified() -> ssl.SSLContext:
    """A context that believes anybody: only for fetching a CA certificate whose digest an invite tells."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
