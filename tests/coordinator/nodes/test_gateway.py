"""The node gateway against strangers and its own nodes: real TLS, real frames, and what it closes with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from pathlib import Path

import pytest

from protocols.messages import CatalogueNotice, Listening, Neighbours, Receipt, decode
from protocols.results import batch
from tests.coordinator.nodes.gateways import Running, closed, running
from tests.support.coordinator import revoke
from tests.support.reports import confirmation, report


async def test_a_batch_is_acknowledged_once_it_is_stored_and_counted_once(gateway: Running) -> None:
    frame, _ = batch.pack([report(1), confirmation(report(1)), report(2)])
    for _ in range(2):
        async with gateway.node() as node:
            for _ in range(2):
                await node.send(frame)
                assert decode(await node.recv()) == Receipt(batch.batch_id(frame))
                assert await gateway.count() == 2


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        (b"", 1007, "results.malformed"),
        (b"garbage", 1007, "results.malformed"),
        (zlib.compress(b"[" * 5_000_000), 1007, "results.malformed"),
        (zlib.compress(b'{"format":"medmesh.results/1","records":[{"kind":"result"}]}'), 1007, "results.malformed"),
        (b"x" * (batch.MAX_FRAME_BYTES + 1), 1009, ""),
        ("{}", 1007, "message.malformed"),
        ('{"type":"hello","program":"x","wire_version":99}', 1008, "message.version"),
    ],
)
async def test_what_is_not_understood_ends_the_connection_and_stores_nothing(
    gateway: Running, frame: str | bytes, code: int, reason: str
) -> None:
    async with gateway.node() as node:
        await node.send(frame)
        found_code, found_reason = await closed(node)
    assert found_code == code and found_reason.startswith(reason)
    assert await gateway.count() == 0


async def test_a_batch_with_one_bad_record_is_refused_whole(gateway: Running) -> None:
    good, bad = report(1).document(), report(2).document() | {"case": "CASE-1"}
    frame = zlib.compress(json.dumps({"format": batch.FORMAT, "records": [good, bad]}).encode())
    async with gateway.node() as node:
        await node.send(frame)
        assert (await closed(node))[0] == 1007
    assert await gateway.count() == 0


async def test_a_node_revoked_in_the_middle_is_refused_from_then_on(gateway: Running) -> None:
    async with gateway.node() as node:
        await node.send(batch.pack([report(1)])[0])
        await node.recv()
        await revoke(gateway.database, "n1")
        await node.send(batch.pack([report(2)])[0])
        assert await closed(node) == (1008, "node.revoked")
    async with gateway.node(greet=False) as node:
        assert await closed(node) == (1008, "not enrolled")
    assert await gateway.count() == 1


async def test_a_node_that_sends_and_never_reads_holds_up_nobody(gateway: Running) -> None:
    frame, _ = batch.pack([report(k) for k in range(200)])
    async with gateway.node() as flood, gateway.node() as other:

        async def send() -> None:
            while True:
                await flood.send(frame)

        flooding = asyncio.create_task(send())
        await asyncio.sleep(0.2)
        async with asyncio.timeout(20):
            for number in range(500, 505):
                own, _ = batch.pack([report(number)])
                await other.send(own)
                assert decode(await other.recv()) == Receipt(batch.batch_id(own))
        flooding.cancel()
        await asyncio.wait([flooding])
    assert await gateway.count() == 205


async def test_nodes_behind_one_address_are_told_where_the_others_serve_peers(
    tmp_path: Path,
) -> None:
    where = Listening(("127.0.0.1", "10.1.1.1", "8.8.8.8"), 4001), Listening(("10.1.1.2",), 4002)
    async with (
        running(tmp_path, "n1", "n2", "old") as gateway,
        gateway.node("old") as old,
        gateway.node("n1", listening=where[0]) as first,
        gateway.node("n2", listening=where[1]) as second,
    ):
        async with asyncio.timeout(5):
            heard = decode(await second.recv())
            assert isinstance(heard, Neighbours)
            assert set(heard.addresses) == {("127.0.0.1", 4001), ("10.1.1.1", 4001)}
            assert decode(await first.recv()) == Neighbours((("10.1.1.2", 4002),))
        with pytest.raises(TimeoutError):  # an older node would not understand it
            async with asyncio.timeout(1.5):
                await old.recv()


async def test_a_revoked_node_is_turned_away_with_the_next_notice(tmp_path: Path) -> None:
    async with running(tmp_path, "n1", "n2") as gateway, gateway.node("n1") as gone, gateway.node("n2") as other:
        await revoke(gateway.database, "n1")
        gateway.publish()
        assert await closed(gone) == (1008, "node.revoked")
        await other.recv()
        await other.ping()


@pytest.mark.alone
async def test_two_hundred_nodes_hear_of_a_release_within_two_seconds(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(200)]
    async with running(tmp_path, *names) as gateway, contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(gateway.node(name)) for name in names]
        for _ in range(3):
            gateway.publish()
            async with asyncio.timeout(2):
                heard = await asyncio.gather(*(node.recv() for node in nodes))
            assert {decode(data) for data in heard} == {CatalogueNotice(gateway.serial, (batch.FORMAT,))}
