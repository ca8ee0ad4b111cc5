"""What a node really sends of itself: signed, true, small, and without anything of a picture, a patient or a site's own words."""

from __future__ import annotations

import asyncio
import json
import zlib
from argparse import Namespace
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edge_node.bootstrap import Edge
from edge_node.peers.luggage import Luggage
from protocols.heartbeat import FORMAT, Outcomes, is_heartbeat, unpack
from protocols.results import batch
from tests.edge_node.outbox.test_wire import CASE, NAME, Secrets, photograph
from tests.edge_node.support.commands import edge
from tests.edge_node.support.server import CoordinatorServer


async def beat(home: Path, beats: int, *, most_s: float = 20, luggage: Luggage | None = None) -> list[int]:
    """As the agent does, over a real line, until so many were accepted."""
    node, serials = Edge(home), list[int]()
    if luggage is not None:
        node.hub = Namespace(luggage=luggage, port=None)  # type: ignore[assignment]
    done = asyncio.Event()

    def sent(serial: int) -> None:
        serials.append(serial)
        if len(serials) == beats:
            done.set()

    async def soon(_: float) -> None:
        await asyncio.sleep(0.02)

    async with node.gateway().session() as session:
        task = asyncio.create_task(node.pulse().carry(session, sent, soon))
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await done.wait()
                while luggage is not None and luggage.waiting(datetime.now(UTC)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
    return serials


def test_a_heartbeat_tells_counts_and_nothing_else(
    joined: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    image = tmp_path / f"{NAME}.jpg"
    image.write_bytes(photograph())
    coordinator.gateway.accepts = (batch.FORMAT, FORMAT)
    assert edge(joined, "pull", "malaria").code == 0
    (found,) = edge(joined, "recognise", str(image), "--all", "--case", CASE).json["results"]
    edge(joined, "confirm", found["id"], "--label", found["labels"][0]["label"])
    assert edge(joined, "status").json["heartbeat"] == {"accepted": None}

    (serial,) = asyncio.run(beat(joined, 1))
    ((letter, signed),) = coordinator.gateway.beats
    told = letter.heartbeat
    coordinator.node_key.verify(signed.signature, signed.data, ec.ECDSA(hashes.SHA256()))
    (health,) = told.releases
    assert (letter.node, told.serial) == (coordinator.node, serial)
    assert (health.release, health.active, health.self_test) == ("malaria@1", True, "passed")
    assert health.outcomes == Outcomes(**{found["outcome"]: 1}) and (health.confirmed, health.agreed) == (1, 1)
    assert told.outbox_waiting == 2 and told.catalogue_serial is not None and told.storage_free_bytes > 0

    frames = [f for f in coordinator.gateway.heard if isinstance(f, bytes) and is_heartbeat(f)]
    assert len(frames) == 1 and len(frames[0]) < 700
    plain = zlib.decompress(frames[0][5:])
    secrets = Secrets(image)
    assert [
        x for data in (frames[0], plain, json.dumps(told.document()).encode()) for x in secrets.found_in(data)
    ] == []
    for text in ("clinic", str(joined), found["id"], found["labels"][0]["label"]):
        assert text.encode() not in plain

    assert edge(joined, "status").json["heartbeat"]["accepted"] is not None
    assert asyncio.run(beat(joined, 1, most_s=0.5)) == [], "nothing has changed"


def test_an_older_coordinator_is_told_nothing(joined: Path, coordinator: CoordinatorServer) -> None:
    assert asyncio.run(beat(joined, 1, most_s=0.5)) == []
    assert coordinator.gateway.beats == [] and edge(joined, "status").json["heartbeat"] == {"accepted": None}


def test_a_refusal_is_tried_again_much_later(joined: Path, coordinator: CoordinatorServer) -> None:
    coordinator.gateway.accepts = (batch.FORMAT, FORMAT)
    coordinator.gateway.refuses_heartbeats = True
    assert asyncio.run(beat(joined, 1, most_s=1)) == []
    assert sum(isinstance(f, bytes) for f in coordinator.gateway.heard) == 1


def test_what_another_node_gave_is_brought_sealed_and_only_it_could_have_signed_it(
    joined: Path, coordinator: CoordinatorServer
) -> None:
    coordinator.gateway.accepts = (batch.FORMAT, FORMAT)
    given = asyncio.run(Edge(joined).to_carry())
    assert given is not None
    letter, signed = unpack(coordinator.authority.opened_heartbeat(given))
    coordinator.node_key.verify(signed.signature, signed.data, ec.ECDSA(hashes.SHA256()))
    assert letter.node == coordinator.node

    luggage = Luggage()
    luggage.put("f" * 16, given, datetime.now(UTC))
    asyncio.run(beat(joined, 1, luggage=luggage))
    assert coordinator.gateway.carried == [("f" * 16, given)]
    assert luggage.waiting(datetime.now(UTC)) == [] and len(coordinator.gateway.beats) == 1
    assert asyncio.run(Edge(joined).to_carry()) is None, "it has a line of its own"
