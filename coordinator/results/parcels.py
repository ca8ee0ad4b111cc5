"""Parcels that other people carried here: opened by signature, stored like what comes over the line, answered by a receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from coordinator.errors import CoordinatorError
from coordinator.fleet.rows import Arrival, FleetRows
from coordinator.nodes.authority import Authority
from coordinator.store.database import Database
from coordinator.store.tables import nodes
from protocols.errors import ProtocolError
from protocols.parcels import (
    RECEIPT_FORMAT,
    SEALED_FOR,
    Contents,
    PaperReceipt,
    Parcel,
    parcel_digest,
    read_contents,
    read_parcel,
)
from protocols.results.batch import batch_id, unpack
from protocols.results.report import Report
from protocols.signatures import Signed, envelope, signed_bytes

_ALGORITHM = ec.ECDSA(hashes.SHA256())
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

Store = Callable[[str, Sequence[Report]], Awaitable[None]]


class Parcels:
    """Takes parcels in. A parcel may come any number of times, in any order, by anybody's hand."""

    def __init__(self, database: Database, authority: Authority) -> None:
        self._database = database
        self._authority = authority
        self._fleet = FleetRows(database)

    async def take(self, data: bytes, store: Store, now: datetime) -> bytes:
        """Store what a node sent by hand; returns the signed receipt.

        Args:
            data: the parcel, from whoever carried it.
            store: has a node's reports written; returns once they are committed.
            now: when it came.

        Raises:
            ProtocolError: ``parcel.malformed``.
            CoordinatorError: ``parcel.not_ours``, ``node.revoked``, or that nothing can be stored now.
        """
        parcel, signed = read_parcel(data)
        await self._check(parcel, signed)
        contents = self._opened(parcel)
        taken = await asyncio.gather(*(self._take_batch(parcel.node, frame, store) for frame in contents.frames))
        await self._fleet.keep([(parcel.node, Arrival(parcel.node, contents.heartbeat, "parcel"))], now)
        ids = [batch_id(frame) for frame in contents.frames]
        stored = tuple(x for x, is_stored in zip(ids, taken, strict=True) if is_stored)
        refused = tuple(x for x, is_stored in zip(ids, taken, strict=True) if not is_stored)
        body = PaperReceipt(parcel.node, parcel_digest(data), stored, refused).body()
        return envelope(self._authority.key.sign(signed_bytes(RECEIPT_FORMAT, body), _ALGORITHM), body)

    async def _check(self, parcel: Parcel, signed: Signed) -> None:
        """Believe the key that the node enrolled with; the certificate in the parcel is for carriers."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(nodes).where(nodes.c.id == parcel.node))).first()
        if row is None or parcel.coordinator != self._authority.fingerprint:
            raise CoordinatorError("parcel.not_ours")
        key = serialization.load_pem_public_key(row.public_key.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        try:
            key.verify(signed.signature, signed.data, _ALGORITHM)
        except InvalidSignature as error:
            raise CoordinatorError("parcel.not_ours") from error
        if row.revoked:
            raise CoordinatorError("node.revoked", name=row.id)

    def _opened(self, parcel: Parcel) -> Contents:
        try:
            data = _SUITE.decrypt(parcel.sealed, self._authority.key, SEALED_FOR)
        except (InvalidTag, ValueError) as error:
            raise ProtocolError("parcel.malformed") from error
        return read_contents(data, parcel)

    @staticmethod
    async def _take_batch(node: str, frame: bytes, store: Store) -> bool:
        """Store one batch; False: it is one that this coordinator does not take."""
        try:
            reports = unpack(frame)
        except ProtocolError:
            return False
        await store(node, reports)
        return True
