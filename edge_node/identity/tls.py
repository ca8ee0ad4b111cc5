"""TLS contexts: the pinned CA and nothing else. System authorities are never loaded."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

SERVER_NAME = "coordinator.medmesh"  # in the coordinator's certificate, whatever its address is


def pinned(ca_pem: str, credentials: Path | None = None) -> ssl.SSLContext:
    """A client context that believes ``ca_pem`` only; with ``credentials`` it also shows the node's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca_pem)
    if credentials is not None:
        context.load_cert_chain(credentials)
    return context


_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: clinics' clocks are wrong, and every byte is checked anyway


def for_peers(ca_pem: str, credentials: Path, purpose: int) -> ssl.SSLContext:
    """A context between nodes: both show a certificate of the pinned CA, under whatever name, also one that has ended.

    Args:
        ca_pem: the pinned CA.
        credentials: the node's key and certificate.
        purpose: ``ssl.PROTOCOL_TLS_SERVER`` or ``ssl.PROTOCOL_TLS_CLIENT``.
    """
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    context.load_verify_locations(cadata=ca_pem)
    context.load_cert_chain(credentials)
    return context


def node_name(connection: ssl.SSLObject) -> str | None:
    """The common name in the other side's verified certificate."""
    subject: Any = (connection.getpeercert() or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 else None


def unverified() -> ssl.SSLContext:
    """A context that believes anybody: only for fetching a CA certificate whose digest an invite tells."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
