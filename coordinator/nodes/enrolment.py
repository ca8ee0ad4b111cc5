"""Invites and enrolment."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update

from coordinator.audit import Actor, record
from coordinator.audit.actor import current, moment
from coordinator.audit.acts import some
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.nodes.authority import Authority
from coordinator.releases.repository import Repository
from coordinator.store.database import Database
from coordinator.store.tables import invites, nodes
from protocols.invite import Invite

INVITE_LIFE = timedelta(hours=24)
MAX_NAME = 120
MAX_CSR_BYTES = 8192


@dataclass(frozen=True)
class EnrolledNode:
    """A node that may speak, and the site that its invite named; empty: none."""

    id: str
    site: str


class Enrolment:
    """Who may join, and who has."""

    def __init__(self, database: Database, home: Home, authority: Authority, repository: Repository) -> None:
        self._database = database
        self._home = home
        self._authority = authority
        self._repository = repository

    async def invite(self, site: str, groups: tuple[str, ...], url: str | None, now: datetime) -> dict[str, Any]:
        """Make a one-time invite; only the token's hash is kept.

        Args:
            site: where the node will stand.
            groups: rollout groups that it belongs to.
            url: address for the node; None: what ``serve`` recorded.
            now: start of the 24 hours.

        Raises:
            CoordinatorError: ``coordinator.not_serving`` where no address is known yet.
        """
        if url is None:
            try:
                url = str(json.loads(self._home.serving.read_text("utf-8"))["url"])
            except FileNotFoundError as error:
                raise CoordinatorError("coordinator.not_serving") from error
        root = hashlib.sha256(self._repository.root_bytes()).hexdigest()
        token = secrets.token_urlsafe(18)
        expires = now + INVITE_LIFE
        async with self._database.begin() as connection:
            await connection.execute(
                invites.insert().values(
                    token_sha256=hashlib.sha256(token.encode()).hexdigest(),
                    expires=expires.isoformat(timespec="seconds"),
                    site=site,
                    groups=list(groups),
                )
            )
            told = {"groups": some(groups), "expires": expires.isoformat(timespec="seconds")}
            await record(connection, current.get(), "node.invite", site, told, now)
        serial = self._repository.rollout().serial
        text = Invite((url,), self._authority.fingerprint, token, root, serial).encode()
        return {"invite": text, "expires": expires.isoformat(timespec="seconds")}

    async def enrol(self, request: object, node_url: str, coordinator: str, now: datetime) -> dict[str, Any]:
        """Answer a node's request: spend the token and certify its key, both or neither.

        Raises:
            CoordinatorError: ``enrol.bad_request`` or ``enrol.bad_token``.
        """
        match request:
            case {"token": str(token), "name": str(name), "csr": str(csr)} if (
                0 < len(name) <= MAX_NAME and name.isprintable() and len(csr) <= MAX_CSR_BYTES
            ):
                pass
            case _:
                raise CoordinatorError("enrol.bad_request")
        node_id = secrets.token_hex(8)
        digest = hashlib.sha256(token.encode()).hexdigest()
        async with self._database.begin() as connection:
            row = (await connection.execute(select(invites).where(invites.c.token_sha256 == digest))).first()
            if row is None or row.used or datetime.fromisoformat(row.expires) < now:
                raise CoordinatorError("enrol.bad_token")
            certificate = self._authority.issue_node(csr.encode(), node_id, now)
            await connection.execute(update(invites).where(invites.c.token_sha256 == digest).values(used=True))
            await connection.execute(
                nodes.insert().values(
                    id=node_id,
                    name=name,
                    site=row.site,
                    groups=row.groups,
                    certificate_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
                    public_key=_public_pem(certificate),
                    enrolled=now.isoformat(timespec="seconds"),
                )
            )
            told = {"name": name, "site": row.site, "groups": some(row.groups)}
            await record(connection, Actor("node", node_id), "node.enrol", node_id, told, now)
        return {
            "node": node_id,
            "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
            "coordinator": coordinator,
            "node_url": node_url,
            "groups": row.groups,
        }

    async def node_of(self, certificate_sha256: str, now: datetime) -> EnrolledNode | None:
        """The enrolled node with this certificate, noting that it was seen; None: not one of ours."""
        async with self._database.begin() as connection:
            found = await connection.execute(
                select(nodes.c.id, nodes.c.site).where(
                    nodes.c.certificate_sha256 == certificate_sha256, ~nodes.c.revoked
                )
            )
            row = found.first()
            if row is None:
                return None
            await connection.execute(
                update(nodes).where(nodes.c.id == row.id).values(last_seen=now.isoformat(timespec="seconds"))
            )
        return EnrolledNode(str(row.id), str(row.site))

    async def revoked(self) -> frozenset[str]:
        """The nodes that were turned away for good."""
        async with self._database.read() as connection:
            return frozenset(await connection.scalars(select(nodes.c.id).where(nodes.c.revoked)))

    async def list(self) -> list[dict[str, Any]]:
        """All enrolled nodes; what they say of themselves is the fleet's (``coordinator.fleet``)."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(nodes).order_by(nodes.c.enrolled))
            return [
                {
                    "node": r.id,
                    "name": r.name,
                    "site": r.site,
                    "groups": r.groups,
                    "revoked": r.revoked,
                    "enrolled": r.enrolled,
                    "last_seen": r.last_seen,
                }
                for r in rows
            ]

    async def renew(self, request: object, now: datetime) -> dict[str, Any]:
        """Certify a node's new key, asked for with its present one; an expired certificate is no hindrance.

        Raises:
            CoordinatorError: ``enrol.bad_request``, or ``node.revoked``.
        """
        match request:
            case {"node": str(node), "csr": str(csr), "signature": str(signature)} if len(csr) <= MAX_CSR_BYTES:
                pass
            case _:
                raise CoordinatorError("enrol.bad_request")
        async with self._database.begin() as connection:
            row = (await connection.execute(select(nodes).where(nodes.c.id == node))).first()
            if row is None:
                raise CoordinatorError("enrol.bad_request")
            if row.revoked:
                raise CoordinatorError("node.revoked", name=row.id)
            key = serialization.load_pem_public_key(row.public_key.encode())
            assert isinstance(key, ec.EllipticCurvePublicKey)
            try:
                key.verify(base64.b64decode(signature, validate=True), csr.encode(), ec.ECDSA(hashes.SHA256()))
            except (InvalidSignature, ValueError) as error:
                raise CoordinatorError("enrol.bad_request") from error
            certificate = self._authority.issue_node(csr.encode(), node, now)
            await connection.execute(
                update(nodes)
                .where(nodes.c.id == node)
                .values(
                    certificate_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
                    public_key=_public_pem(certificate),
                )
            )
            await record(connection, Actor("node", node), "node.renew", node, {}, now)
        return {"certificate": certificate.public_bytes(serialization.Encoding.PEM).decode()}

    async def revoke(self, name: str) -> dict[str, Any]:
        """Turn a node away for good; the caller announces it to the others.

        Raises:
            CoordinatorError: ``node.unknown``.
        """
        async with self._database.begin() as connection:
            found = (await connection.execute(select(nodes).where((nodes.c.id == name) | (nodes.c.name == name)))).all()
            if len(found) != 1:
                raise CoordinatorError("node.unknown", name=name)
            await connection.execute(update(nodes).where(nodes.c.id == found[0].id).values(revoked=True))
            told = {"name": found[0].name, "site": found[0].site}
            await record(connection, current.get(), "node.revoke", found[0].id, told, moment())
        return {"node": found[0].id, "name": found[0].name, "revoked": True}


def _public_pem(certificate: x509.Certificate) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
