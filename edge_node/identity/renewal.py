"""A fresh certificate before the old one ends, or after it ended: the node's key is what proves the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from edge_node.errors import EdgeError, SourceError, UnreachableError
from edge_node.identity.credentials import PendingCredentials, validity
from edge_node.identity.enrolment import credentials_path
from edge_node.identity.identity import NodeIdentity, save_identity
from edge_node.identity.registrar import Renewer

RENEW_BEFORE = timedelta(days=30)


def certificate_end(identity: NodeIdentity) -> datetime:
    """When the node's certificate ends.

    Raises:
        EdgeError: ``edge.identity_damaged``.
    """
    try:
        return validity(identity.credentials.read_bytes())[1]
    except ValueError as error:
        raise EdgeError("edge.identity_damaged", path=identity.credentials) from error


def is_due(end: datetime, now: datetime) -> bool:
    """Whether it is time for a fresh certificate."""
    return now >= end - RENEW_BEFORE


async def renew(identity: NodeIdentity, renewers: Sequence[Renewer]) -> NodeIdentity:
    """Get a fresh certificate for the node's key and switch to it; on failure the present one stays.

    Raises:
        EdgeError: ``edge.certificate_refused`` or ``edge.coordinator_refused``.
        SourceError: no address answered.
    """
    pending = PendingCredentials.renewing(identity.name, identity.credentials)
    failure: SourceError = UnreachableError("edge.coordinator_unreachable", url="-")
    for renewer in renewers:
        try:
            certificate = await renewer.renew(identity.node, pending.csr_pem, pending.signature())
        except SourceError as error:
            failure = error
            continue
        credentials = pending.completed(certificate, identity.ca_pem)
        renewed = replace(identity, credentials=credentials_path(identity.credentials.parent, credentials))
        save_identity(renewed, credentials, identity.root())
        return renewed
    raise failure
