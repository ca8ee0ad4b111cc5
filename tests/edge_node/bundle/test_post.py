"""Parcels out, receipts back: in any order, any number of times, by anybody's hand, and nothing is lost or believed twice."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge_node.bundle.packing import batches, parcels
from edge_node.bundle.post import Address, Desk, Post, TakenIn
from edge_node.bundle.reader import Bundle
from edge_node.bundle.signing import NodeSigner
from edge_node.bundle.writer import write_bundle
from edge_node.errors import EdgeError, UnreachableError
from edge_node.identity.credentials import PendingCredentials
from protocols import bundle
from protocols.errors import ProtocolError
from protocols.parcels import (
    MAX_BATCHES,
    MAX_PARCEL_BYTES,
    RECEIPT_FORMAT,
    Contents,
    PaperReceipt,
    Parcel,
    parcel_digest,
    read_contents,
    read_parcel,
)
from protocols.results.batch import batch_id, unpack
from protocols.signatures import envelope, signed_bytes
from tests.edge_node.bundle.support import HEADER
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.outbox import Bench
from tests.edge_node.support.results import result
from tests.support.heartbeats import HEART
from tests.support.reports import report

A, B, C = "a" * 16, "b" * 16, "c" * 16


@dataclass
class Coordinator:
    """Takes parcels, signs receipts; ``plan``: what goes wrong with the next ones."""

    authority: TestAuthority
    stored: dict[str, str] = field(default_factory=dict)  # record: node
    poison: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    plan: list[str] = field(default_factory=list)
    visits: int = 0

    @asynccontextmanager
    async def desks(self) -> AsyncIterator[Sequence[Desk]]:
        self.visits += 1
        yield [self]

    async def parcel(self, data: bytes) -> bytes | None:
        fate = self.plan.pop(0) if self.plan else "fine"
        if fate == "gone":
            raise UnreachableError("edge.coordinator_unreachable", url="memory")
        if fate == "old":
            return None
        parcel, _ = read_parcel(data)
        if parcel.node in self.revoked:
            raise EdgeError("edge.coordinator_refused", reason="revoked", advice="-")
        good: list[str] = []
        bad: list[str] = []
        for frame in self.authority.opened(parcel).frames:
            ids = [r.id for r in unpack(frame)]
            if self.poison & set(ids):
                bad.append(batch_id(frame))
                continue
            good.append(batch_id(frame))
            self.stored |= dict.fromkeys(ids, parcel.node)
        if fate == "answer lost":
            raise UnreachableError("edge.coordinator_unreachable", url="memory")
        receipt = PaperReceipt(parcel.node, parcel_digest(data), tuple(good), tuple(bad))
        return signed_receipt(self.authority if fate == "fine" else TestAuthority(), receipt)


def signed_receipt(authority: TestAuthority, receipt: PaperReceipt) -> bytes:
    body = receipt.body()
    return envelope(authority.sign(signed_bytes(RECEIPT_FORMAT, body)), body)


class Clinic:
    """A node with an outbox and a post office."""

    def __init__(self, authority: TestAuthority, folder: Path, node: str) -> None:
        self.folder = folder / node
        self.folder.mkdir()
        self.node = node
        pending = PendingCredentials(node)
        self.credentials = self.folder / "node.pem"
        certificate = authority.sign_request(pending.csr_pem, node=node)
        self.credentials.write_bytes(pending.completed(certificate, authority.pem))
        self.bench = Bench(self.folder)
        self.bench.joined = authority.fingerprint
        self.address = Address(node, authority.fingerprint, authority.pem)
        self.sticks = 0

    @property
    def signer(self) -> NodeSigner:
        return NodeSigner(self.credentials)

    @property
    def post(self) -> Post:
        """A program that has just started."""
        return Post(self.folder / "mail.sqlite", self.bench.outbox, self.address, lambda: self.signer)

    async def stick(self) -> Path:
        self.sticks += 1
        path = self.folder / f"{self.sticks}.medmesh"
        write_bundle(path, HEADER, await self.post.carried() | await self.post.own(HEART), [], lambda _: None)
        return path

    async def take(self, path: Path, revoked: Sequence[str] = ()) -> TakenIn:
        return await self.post.take_in(Bundle.opened(path), revoked)

    async def queued(self) -> int:
        return (await self.bench.outbox.counts()).queued

    def parcel(self, **changes: object) -> Parcel:
        parcel = Parcel(self.address.coordinator, self.node, 1, 0, self.signer.certificate, b"sealed")
        return replace(parcel, **changes)  # type: ignore[arg-type]


@pytest.fixture
def coordinator(authority: TestAuthority) -> Coordinator:
    return Coordinator(authority)


Make = Callable[[str], Clinic]


@pytest.fixture
def clinic(authority: TestAuthority, tmp_path: Path) -> Make:
    return lambda node: Clinic(authority, tmp_path, node)


def of(path: Path, folder: str) -> list[bytes]:
    opened = Bundle.opened(path)
    data = path.read_bytes()
    return [data[e.start : e.start + e.size_bytes] for e in opened.below(folder)]


def holding(folder: Path, *mail: tuple[str, bytes]) -> Path:
    path = folder / f"made-{len(list(folder.iterdir()))}"
    write_bundle(path, HEADER, {kind + parcel_digest(data): data for kind, data in mail}, [], lambda _: None)
    return path


async def test_the_round_trip_acknowledges_exactly_what_the_coordinator_has(
    clinic: Make, coordinator: Coordinator
) -> None:
    a, b = clinic(A), clinic(B)
    ids = await b.bench.save(*(result(k) for k in range(450)))
    out = await b.stick()
    assert await b.queued() == 450, "a stick may be lost"
    late = await b.bench.save(result(451))
    for _ in range(2):
        assert (await a.take(out)).parcels in (0, 1)
    assert len(of(await a.stick(), bundle.PARCELS)) == 2, "others' parcels travel on with one's own"
    done = await a.post.hand_over(coordinator.desks)
    assert (done.delivered, done.kept, done.failure) == (1, 0, None)
    assert set(coordinator.stored) == set(ids)
    back = await a.stick()
    taken = await b.take(back)
    assert (taken.receipts, taken.acknowledged, await b.queued()) == (1, 450, 1)
    again = await b.take(back)
    assert (again.acknowledged, await b.queued()) == (0, 1)
    assert [r.id for r in await b.bench.outbox.queued(10)] == late
    assert (await a.take(out)).parcels == 1, "an old stick is harmless"
    assert (await a.post.hand_over(coordinator.desks)).delivered == 1 and len(coordinator.stored) == 450


async def test_nothing_to_hand_over_asks_nobody(clinic: Make, coordinator: Coordinator) -> None:
    a = clinic(A)
    await a.post.hand_over(coordinator.desks)
    await a.stick()
    await a.post.hand_over(coordinator.desks)
    assert coordinator.visits == 0


@pytest.mark.parametrize("fate", ["gone", "answer lost", "forged", "old"])
async def test_a_parcel_stays_until_its_receipt_is_here(clinic: Make, coordinator: Coordinator, fate: str) -> None:
    a, b = clinic(A), clinic(B)
    await b.bench.save(result(1))
    await a.take(await b.stick())
    coordinator.plan = [fate]
    done = await a.post.hand_over(coordinator.desks)
    assert (done.delivered, done.kept, done.failure is None) == (0, 1, fate == "old")
    done = await a.post.hand_over(coordinator.desks)
    assert (done.delivered, done.kept, len(coordinator.stored)) == (1, 0, 1)


async def test_a_parcel_that_the_coordinator_never_wants_is_dropped_and_the_next_delivered(
    clinic: Make, coordinator: Coordinator
) -> None:
    a, b, c = clinic(A), clinic(B), clinic(C)
    for node in (b, c):
        await node.bench.save(result(1))
        await a.take(await node.stick())
    coordinator.revoked.add(B)
    done = await a.post.hand_over(coordinator.desks)
    assert (done.refused, done.delivered, done.kept) == (1, 1, 0)
    assert (await b.queued(), set(coordinator.stored.values())) == (1, {C})


async def test_mail_goes_through_many_hands(clinic: Make, coordinator: Coordinator) -> None:
    a, b, c = clinic(A), clinic(B), clinic(C)
    await b.bench.save(result(1))
    await c.take(await b.stick())
    await a.take(await c.stick())
    await a.post.hand_over(coordinator.desks)
    back = await a.stick()
    assert (await c.take(back)).receipts == 2, "one for itself, one for another"
    assert of(await c.stick(), bundle.PARCELS) != [] and len(of(await c.stick(), bundle.RECEIPTS)) == 1
    assert (await b.take(await c.stick())).acknowledged == 1


async def test_a_later_export_takes_the_place_of_an_earlier_one(clinic: Make, coordinator: Coordinator) -> None:
    a, b = clinic(A), clinic(B)
    await b.bench.save(result(1))
    early = await b.stick()
    await b.bench.save(result(2))
    late = await b.stick()
    assert (await a.take(late)).parcels == 1
    assert (await a.take(early)).parcels == 0
    await a.post.hand_over(coordinator.desks)
    assert len(coordinator.stored) == 2


async def test_one_record_at_fault_does_not_hold_up_the_others(clinic: Make, coordinator: Coordinator) -> None:
    a, b = clinic(A), clinic(B)
    ids = await b.bench.save(*(result(k) for k in range(5)))
    coordinator.poison = {ids[2]}
    for _ in range(3):
        await a.take(await b.stick())
        await a.post.hand_over(coordinator.desks)
        await b.take(await a.stick())
    counts = await b.bench.outbox.counts()
    assert (counts.queued, counts.refused, counts.acknowledged) == (0, 1, 4)
    assert set(coordinator.stored) == set(ids) - {ids[2]}


async def test_only_parcels_that_nodes_of_this_network_signed_are_carried(
    clinic: Make, authority: TestAuthority, tmp_path: Path
) -> None:
    a, b, c = clinic(A), clinic(B), clinic(C)
    (tmp_path / "foreign").mkdir()
    foreign = Clinic(TestAuthority(), tmp_path / "foreign", C)
    good = b.signer.signed(b.parcel())
    line, body = good.split(b"\n", 1)
    bad = {
        "another's name": b.signer.signed(b.parcel(node=C)),
        "another's certificate": b.signer.signed(b.parcel(node=C, certificate=c.signer.certificate)),
        "another network": foreign.signer.signed(foreign.parcel()),
        "pretends to be ours": foreign.signer.signed(foreign.parcel(coordinator=authority.fingerprint)),
        "altered": line + b"\n" + body.replace(b'"number":1', b'"number":2'),
        "no signature": b"\n" + body,
        "signed for another purpose": envelope(b"x" * 70, body),
        "no JSON": line + b"\n{",
        "no certificate": b.signer.signed(b.parcel(certificate="nonsense")),
    }
    for name, data in bad.items():
        taken = await a.take(holding(tmp_path, (bundle.PARCELS, data)))
        assert (taken.parcels, taken.refused) == (0, 1), name
    assert (await a.take(holding(tmp_path, (bundle.PARCELS, good)), revoked=[B])).refused == 1
    assert (await a.take(holding(tmp_path, (bundle.PARCELS, good)))).parcels == 1


async def test_only_the_coordinators_own_receipts_count(clinic: Make, authority: TestAuthority, tmp_path: Path) -> None:
    b, c = clinic(B), clinic(C)
    await b.bench.save(result(1))
    parcel = of(await b.stick(), bundle.PARCELS)[0]
    batch = batch_id(authority.opened(read_parcel(parcel)[0]).frames[0])
    receipt = PaperReceipt(B, parcel_digest(parcel), (batch,), ())
    body = receipt.body()
    forged = {
        "another CA": signed_receipt(TestAuthority(), receipt),
        "a node": envelope(b.signer._key.sign(signed_bytes(RECEIPT_FORMAT, body), _ecdsa()), body),
        "for another node": signed_receipt(authority, replace(receipt, node=C)),
        "of another batch": signed_receipt(authority, replace(receipt, batches=("0" * 16,))),
        "with no format": envelope(authority.sign(body), body),
        "unsigned": envelope(b"", body),
    }
    for name, data in forged.items():
        assert (await b.take(holding(tmp_path, (bundle.RECEIPTS, data)))).acknowledged == 0, name
        assert await b.queued() == 1
    assert (await c.take(holding(tmp_path, (bundle.RECEIPTS, forged["another CA"])))).refused == 1
    assert (await b.take(holding(tmp_path, (bundle.RECEIPTS, signed_receipt(authority, receipt))))).acknowledged == 1


def _ecdsa():  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


async def test_a_node_that_died_after_the_receipt_acknowledges_the_next_time(
    clinic: Make, coordinator: Coordinator
) -> None:
    a, b = clinic(A), clinic(B)
    await b.bench.save(result(1))
    await a.take(await b.stick())
    await a.post.hand_over(coordinator.desks)
    back = await a.stick()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_node.bundle.mail.Mail.forget_sent", _die)
        with pytest.raises(SystemExit):
            await b.take(back)
    assert await b.queued() == 0
    assert (await b.take(back)).acknowledged == 0 and await b.queued() == 0


async def _die(*_: object) -> None:
    raise SystemExit


def test_fifty_thousand_records_make_few_parcels_within_the_limit() -> None:
    reports = [replace(report(), id=f"{k:032x}") for k in range(50_000)]
    packed = batches(reports, alone={reports[0].id})
    assert sum(len(ids) for _, ids in packed) == 50_000 and packed[-1][1] == (reports[0].id,)
    parts = parcels(packed)
    assert [batch for part in parts for batch in part] == packed
    assert len(parts) <= 8
    for part in parts:
        assert len(part) <= MAX_BATCHES
        contents = Contents(A, 1, HEART, tuple(frame for frame, _ in part))
        assert len(base64.b64encode(contents.data())) < MAX_PARCEL_BYTES - 20_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("node", '"x"'),
        ("number", "-1"),
        ("number", "true"),
        ("part", "16"),
        ("sealed", '"!"'),
        ("sealed", "[]"),
        ("certificate", "7"),
        ("coordinator", '"short"'),
    ],
)
def test_a_parcel_is_read_strictly(key: str, value: str) -> None:
    import json

    body = json.loads(Parcel("a" * 64, A, 1, 0, "-", b"sealed").body())
    text = json.dumps(body | {key: "HERE"}).replace('"HERE"', value)
    with pytest.raises(ProtocolError) as caught:
        read_parcel(b"AAAA\n" + text.encode())
    assert caught.value.code == "parcel.malformed"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batches", '["!"]'),
        ("batches", "[" + ",".join(['"AA=="'] * 65) + "]"),
        ("heartbeat", "[]"),
        ("node", f'"{B}"'),
        ("number", "2"),
    ],
)
def test_what_was_sealed_is_read_strictly_and_belongs_to_its_parcel(key: str, value: str) -> None:
    import json

    document = json.loads(Contents(A, 1, HEART, ()).data())
    text = json.dumps(document | {key: "HERE"}).replace('"HERE"', value)
    with pytest.raises(ProtocolError) as caught:
        read_contents(text.encode(), Parcel("a" * 64, A, 1, 0, "-", b"sealed"))
    assert caught.value.code == "parcel.malformed"


async def test_a_lost_stick_tells_nothing_of_what_was_found(clinic: Make, authority: TestAuthority) -> None:
    b = clinic(B)
    await b.bench.save(result(1))
    data = of(await b.stick(), bundle.PARCELS)[0]
    parcel, _ = read_parcel(data)
    contents = authority.opened(parcel)
    assert len(contents.frames) == 1 and contents.heartbeat == HEART
    for secret in (b"malaria", b"trust.expired", base64.b64encode(contents.frames[0])[:40], contents.frames[0][:20]):
        assert secret not in data and secret not in parcel.sealed
    again, _ = read_parcel(of(await b.stick(), bundle.PARCELS)[0])
    assert again.sealed[:65] != parcel.sealed[:65], "each with a key of its own"
