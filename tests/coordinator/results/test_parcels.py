"""Parcels at the coordinator: opened by signature, stored once, answered by a receipt that only the CA can sign."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update

from coordinator.config import WebLimits
from coordinator.home import Home
from coordinator.nodes import authority as authorities
from coordinator.nodes.authority import Authority
from coordinator.results.parcels import Parcels
from coordinator.results.store import Chosen, Results
from coordinator.store.database import Database
from coordinator.store.tables import heartbeats, nodes
from coordinator.web.app import Services, make_app
from coordinator.web.gate import Gate
from protocols.access import Principal
from protocols.errors import MedMeshError
from protocols.parcels import (
    FORMAT,
    MAX_PARCEL_BYTES,
    SEALED_FOR,
    Contents,
    Parcel,
    parcel_digest,
    read_contents,
    read_receipt,
)
from protocols.results.batch import batch_id, pack
from protocols.results.report import Report
from protocols.signatures import envelope, signed_bytes
from tests.support.coordinator import NOW, database, enrol, revoke
from tests.support.heartbeats import HEART
from tests.support.reports import report

A, B = "a" * 16, "b" * 16
_ECDSA = ec.ECDSA(hashes.SHA256())
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class Office:
    """The real store and the real authority; node ``A`` is enrolled, ``B`` too."""

    def __init__(self, opened: Database, authority: Authority) -> None:
        self.database = opened
        self.authority = authority
        self.parcels = Parcels(opened, authority)
        self.results = Results(opened)
        self.keys = {node: ec.generate_private_key(ec.SECP256R1()) for node in (A, B)}

    async def prepare(self) -> None:
        for node, key in self.keys.items():
            await enrol(self.database, node)
            pem = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            async with self.database.begin() as connection:
                await connection.execute(update(nodes).where(nodes.c.id == node).values(public_key=pem.decode()))

    def parcel(self, *reports: Report, **changes: object) -> Parcel:
        frames = (pack(reports)[0],) if reports else ()
        contents = Contents(A, 1, HEART, frames)
        inner = {key: changes.pop(key) for key in ("frames", "heartbeat") if key in changes}
        inner |= {key: changes[key] for key in ("number",) if key in changes}
        contents = replace(contents, **inner)  # type: ignore[arg-type]
        parcel = Parcel(self.authority.fingerprint, A, 1, 0, "-", self.closed(contents))
        return replace(parcel, **changes)  # type: ignore[arg-type]

    def closed(self, contents: Contents) -> bytes:
        """As a node seals it."""
        return _SUITE.encrypt(contents.data(), self.authority.key.public_key(), SEALED_FOR)

    def opened(self, parcel: Parcel) -> Contents:
        return read_contents(_SUITE.decrypt(parcel.sealed, self.authority.key, SEALED_FOR), parcel)

    def sealed(self, parcel: Parcel, by: str = A) -> bytes:
        body = parcel.body()
        return envelope(self.keys[by].sign(signed_bytes(FORMAT, body), _ECDSA), body)

    async def store(self, node: str, reports: Sequence[Report]) -> None:
        assert await self.results.store([(node, reports)], NOW) == set()

    async def take(self, data: bytes) -> bytes:
        return await self.parcels.take(data, self.store, NOW)

    async def stored(self) -> list[str]:
        return [found.report.id async for found in self.results.every(Chosen())]

    async def heartbeat(self, node: str = A) -> tuple[int, str] | None:
        async with self.database.read() as connection:
            row = (await connection.execute(select(heartbeats).where(heartbeats.c.node == node))).first()
        return None if row is None else (row.serial, row.document["program"])


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    home = Home(tmp_path)
    home.keys.mkdir(parents=True)
    authorities.create(home, datetime.now(UTC))
    async with database(tmp_path) as opened:
        made = Office(opened, Authority.load(home))
        await made.prepare()
        yield made


async def refused(office: Office, data: bytes, code: str) -> None:
    with pytest.raises(MedMeshError) as caught:
        await office.take(data)
    assert caught.value.code == code
    assert (await office.stored(), await office.heartbeat()) == ([], None)


async def test_a_parcel_is_stored_once_and_answered_by_the_ca(office: Office) -> None:
    parcel = office.parcel(report(1), report(2))
    data = office.sealed(parcel)
    first = await office.take(data)
    await office.take(data)
    await office.take(office.sealed(parcel))  # the same again, signed anew
    assert await office.stored() == [report(1).id, report(2).id]
    receipt, signed = read_receipt(first)
    office.authority.certificate.public_key().verify(signed.signature, signed.data, _ECDSA)  # type: ignore[call-arg,union-attr,arg-type]
    assert (receipt.node, receipt.parcel, receipt.refused) == (A, parcel_digest(data), ())
    assert receipt.batches == (batch_id(office.opened(parcel).frames[0]),)


async def test_what_comes_by_hand_and_over_the_line_is_the_same_record(office: Office) -> None:
    await office.store(A, [report(1)])
    await office.take(office.sealed(office.parcel(report(1), report(2))))
    assert await office.stored() == [report(1).id, report(2).id]


async def test_a_batch_that_cannot_be_read_is_named_and_the_others_stored(office: Office) -> None:
    good = pack([report(1)])[0]
    receipt, _ = read_receipt(await office.take(office.sealed(office.parcel(frames=(b"nonsense", good)))))
    assert (receipt.batches, receipt.refused) == ((batch_id(good),), (batch_id(b"nonsense"),))
    assert await office.stored() == [report(1).id]


async def test_the_newest_heartbeat_is_kept_by_the_nodes_own_count(office: Office) -> None:
    for serial, program in ((2, "0.2.0"), (5, "0.5.0"), (4, "0.4.0")):
        heart = replace(HEART, serial=serial, program=program, sent=HEART.sent - timedelta(days=serial))
        await office.take(office.sealed(office.parcel(heartbeat=heart)))
    assert await office.heartbeat() == (5, "0.5.0")


async def test_who_did_not_sign_is_refused(office: Office) -> None:
    parcel = office.parcel(report(1))
    data = office.sealed(parcel)
    await refused(office, office.sealed(parcel, by=B), "parcel.not_ours")
    await refused(office, office.sealed(replace(parcel, node="c" * 16)), "parcel.not_ours")
    await refused(office, office.sealed(replace(parcel, coordinator="0" * 64)), "parcel.not_ours")
    await refused(office, data.replace(b'"number":1', b'"number":9'), "parcel.not_ours")
    body = parcel.body()
    await refused(office, envelope(office.keys[A].sign(body, _ECDSA), body), "parcel.not_ours")
    await refused(office, b"", "parcel.malformed")
    await refused(office, b"{}" * 100, "parcel.malformed")
    await refused(office, data + b" " * MAX_PARCEL_BYTES, "parcel.malformed")
    await revoke(office.database, A)
    await refused(office, data, "node.revoked")


async def test_what_was_not_sealed_for_this_coordinator_by_this_node_is_refused(office: Office) -> None:
    """B copies what A sealed, from a stick that it carried, and signs it as its own."""
    parcel = office.parcel(report(1))
    stolen = replace(parcel, node=B)
    await refused(office, office.sealed(stolen, by=B), "parcel.malformed")
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    contents = Contents(A, 1, HEART, ())
    for sealed in (
        b"",
        parcel.sealed[:-1],
        parcel.sealed[:-1] + bytes([parcel.sealed[-1] ^ 1]),
        _SUITE.encrypt(contents.data(), other, SEALED_FOR),
        _SUITE.encrypt(contents.data(), office.authority.key.public_key(), b"another purpose"),
        office.closed(replace(contents, number=2)),
        _SUITE.encrypt(b"no JSON", office.authority.key.public_key(), SEALED_FOR),
    ):
        await refused(office, office.sealed(replace(parcel, sealed=sealed)), "parcel.malformed")
    first = signed_bytes("medmesh.parcel/1", parcel.body())
    await refused(office, envelope(office.keys[A].sign(first, _ECDSA), parcel.body()), "parcel.not_ours")


async def test_a_coordinator_that_cannot_store_acknowledges_nothing(office: Office) -> None:
    async def full(_: str, __: Sequence[Report]) -> None:
        raise MedMeshError("results.not_stored")

    with pytest.raises(MedMeshError):
        await office.parcels.take(office.sealed(office.parcel(report(1))), full, NOW)


async def no_tokens(_: str, __: str) -> Principal:
    raise AssertionError("nodes need no token")


async def no_sessions(_: str, __: bool) -> None:
    raise AssertionError("nodes do not sign in")


async def test_over_http_a_body_is_bounded(office: Office) -> None:
    services = Services(
        "n",
        "wss://n",
        office.authority,
        *[None] * 4,
        office.parcels,
        office.store,
        lambda: NOW,
        Gate(no_tokens, no_sessions, WebLimits(), lambda: NOW),  # type: ignore[arg-type]
    )
    data = office.sealed(office.parcel(report(1)))
    transport = httpx.ASGITransport(make_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="https://n") as client:
        assert (await client.post("/v1/parcels", content=b"x" * (MAX_PARCEL_BYTES + 1))).status_code == 413
        malformed = await client.post("/v1/parcels", content=b"{}")
        assert (malformed.status_code, malformed.json()["error"]["code"]) == (422, "parcel.malformed")
        foreign = await client.post("/v1/parcels", content=data.replace(b'"number":1', b'"number":2'))
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "parcel.not_ours")
        assert (await client.get("/v1/parcels")).status_code == 405
        answer = await client.post("/v1/parcels", content=data)
        assert (answer.status_code, read_receipt(answer.content)[0].node) == (200, A)
