"""Joining a coordinator: check its CA against the invite, ask for a certificate, and only then replace what was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from edge_node.errors import EdgeError, SourceError, UnreachableError
from edge_node.identity.credentials import PendingCredentials, validity
from edge_node.identity.identity import NodeIdentity, ca_fingerprint, save_identity
from edge_node.identity.registrar import Registrar
from protocols.invite import Invite


async def join(invite: Invite, name: str, folder: Path, registrars: Sequence[Registrar]) -> NodeIdentity:
    """Enrol this node by ``invite`` and keep the identity in ``folder``; on failure the former one stays.

    Raises:
        EdgeError: ``edge.ca_mismatch``, ``trust.root_mismatch``, ``edge.certificate_refused`` or
            ``edge.coordinator_refused``.
        UnreachableError: no address answered.
    """
    failure: EdgeError | None = None
    for registrar in registrars:
        try:
            ca_pem = await _checked_ca(registrar, invite)
            pending = PendingCredentials(name)
            async with registrar.trusting(ca_pem) as trusted:
                root = await _checked_root(trusted, invite)
                answer = await trusted.enrol(invite.token, name, pending.csr_pem)
        except SourceError as error:
            failure = failure or error
            continue
        credentials = pending.completed(answer.certificate_pem, ca_pem)
        identity = NodeIdentity(
            node=answer.node,
            name=name,
            coordinator=answer.coordinator,
            urls=(registrar.url, *(url for url in invite.urls if url != registrar.url)),
            node_url=answer.node_url,
            ca_pem=ca_pem,
            credentials=credentials_path(folder, credentials),
            groups=answer.groups,
            root_sha256=invite.root_sha256,
            least_serial=invite.least_serial,
            joined=validity(credentials)[0],
        )
        save_identity(identity, credentials, root)
        return identity
    raise failure or UnreachableError("edge.coordinator_unreachable", url="-")


def credentials_path(folder: Path, credentials_pem: bytes) -> Path:
    """Where key and certificate are kept: under a name of their own, so that the former ones stay until the switch."""
    return folder / f"node-{hashlib.sha256(credentials_pem).hexdigest()[:16]}.pem"


async def _checked_root(registrar: Registrar, invite: Invite) -> bytes:
    """The metadata from which trust starts, before the invite's token is spent."""
    root = await registrar.root()
    if hashlib.sha256(root).hexdigest() != invite.root_sha256:
        raise SourceError("trust.root_mismatch", url=registrar.url)
    return root


async def _checked_ca(registrar: Registrar, invite: Invite) -> str:
    pem = await registrar.ca_pem()
    try:
        fingerprint = ca_fingerprint(pem)
    except ValueError:
        fingerprint = ""
    if fingerprint != invite.ca_sha256:
        raise SourceError("edge.ca_mismatch", url=registrar.url)
    return pem
