"""Heartbeats as they come over the nodes' lines: opened, verified against the key that the node enrolled with, kept."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from coordinator.fleet.rows import Arrival, FleetRows
from coordinator.nodes.authority import Authority
from coordinator.store.batching import BatchWriter
from coordinator.store.database import Database
from coordinator.store.tables import nodes
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.heartbeat import SEALED_FOR, Letter, unpack, unpack_carried
from protocols.signatures import Signed

_log = logging.getLogger("medmesh.fleet")
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_MOST_KEYS = 20_000  # a key takes about 1 kB


class HeartbeatIntake:
    """Takes frames from nodes. A node can speak for itself only; what it carries for others must be signed by them."""

    def __init__(self, database: Database, authority: Authority, clock: Clock) -> None:
        self._database = database
        self._authority = authority
        self._writer = BatchWriter(FleetRows(database).keep, clock)
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}

    def running(self) -> AbstractAsyncContextManager[None]:
        """Write while the block lasts."""
        return self._writer.running()

    async def take(self, sender: str, frame: bytes) -> None:
        """Take a heartbeat in; returns once it is committed, or, where it is another's and not right, dropped.

        Raises:
            ProtocolError: ``heartbeat.*``: the sender's own is not right.
            CoordinatorError: ``node.revoked``, ``storage.*`` or ``results.not_stored``.
        """
        carried = unpack_carried(frame)
        if carried is None:
            letter, signed = unpack(frame)
            if letter.node != sender or not await self._is_right(letter, signed):
                raise ProtocolError("heartbeat.not_its_own")
            await self._writer.store(sender, Arrival(sender, letter.heartbeat, "line"))
        elif (found := await self._opened(*carried)) is not None:
            await self._writer.store(sender, Arrival(found.node, found.heartbeat, "peer"))

    async def _opened(self, node: str, sealed: bytes) -> Letter | None:
        """What a node carries for another; None: it is not that one's, and no fault of who carries it in good faith."""
        try:
            letter, signed = unpack(_SUITE.decrypt(sealed, self._authority.key, SEALED_FOR))
        except (InvalidTag, ValueError, ProtocolError):
            letter, signed = None, None
        if letter is None or signed is None or letter.node != node or not await self._is_right(letter, signed):
            _log.info("a carried heartbeat was dropped: not signed by the node that it names")
            return None
        return letter

    async def _is_right(self, letter: Letter, signed: Signed) -> bool:
        """Whether the node's key signed; one that was renewed meanwhile is looked up again."""
        known = self._keys.get(letter.node)
        if known is not None and _verifies(known, signed):
            return True
        key = await self._key(letter.node)
        return key is not None and _verifies(key, signed)

    async def _key(self, node: str) -> ec.EllipticCurvePublicKey | None:
        async with self._database.read() as connection:
            pem = await connection.scalar(select(nodes.c.public_key).where(nodes.c.id == node))
        if pem is None:
            return None
        key = serialization.load_pem_public_key(pem.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[node] = key
        return key


def _verifies(key: ec.EllipticCurvePublicKey, signed: Signed) -> bool:
    try:
        key.verify(signed.signature, signed.data, _ALGORITHM)
    except InvalidSignature:
        return False
    return True
