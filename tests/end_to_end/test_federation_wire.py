"""Federated rounds over the real gateway with real TLS: what passes, what is refused, and what never passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coordinator.federation.checkpoint import State
from coordinator.federation.lines import Lines
from coordinator.federation.mesh_grid import MeshGrid, node_of
from coordinator.federation.refinement import refine
from coordinator.federation.rounds import Plan
from edge_node.agent.gateway import Answer, Line, WebsocketGateway
from edge_node.federation.client_app import make_app
from edge_node.federation.extract import Trunk
from edge_node.federation.folder import read_folder
from edge_node.federation.images import LabelledFeatures
from edge_node.federation.participant import Participant
from edge_node.federation.site import LocalSite
from edge_node.federation.store import SiteStore
from protocols.federation import envelope
from protocols.federation.exchange import EXCHANGES, pack_change, pack_head, pack_standard
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject
from protocols.federation.verdict import Verdict
from protocols.imaging import InputSpec
from protocols.messages import Hello, encode
from protocols.pipeline import StageRunner
from tests.coordinator.nodes.gateways import Running, closed, running
from tests.support.federation import FEATURES, LABELS, SUBJECT, FixedSite, app_of, balanced, drawn_site

NODES = tuple(f"00000000000000a{i}" for i in range(4))
ZERO = Head(np.zeros((FEATURES, 2), np.float32), np.zeros(2, np.float32))
MEAN_TRUNK = Path(__file__).parent.parent / "edge_node" / "data" / "mean_trunk.tflite"


class Wire:
    """Every federated document in the clear, as it passes a node."""

    def __init__(self) -> None:
        self.documents: list[bytes] = []

    def recorded(self, answer: Answer) -> Answer:
        async def answering(question: bytes) -> bytes | None:
            reply = await answer(question)
            self.documents += [question, reply or b""]
            return reply

        return answering


@asynccontextmanager
async def taking_part(
    gateway: Running, node: str, federation: Callable[[], Awaitable[Answer | None]]
) -> AsyncIterator[None]:
    """A node with its own line, as ``serve`` holds it."""

    async def hold() -> None:
        line = Line(f"wss://127.0.0.1:{gateway.port}", gateway.contexts[node])
        async with WebsocketGateway(lambda: line, 5.0, federation=federation).session() as session:
            async for _ in session:
                pass

    task = asyncio.create_task(hold())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def answering(node: str, found: LabelledFeatures | None, wire: Wire) -> Callable[[], Awaitable[Answer | None]]:
    participant = Participant(app_of(FixedSite(found)), node, lambda kind, code: None)

    async def federation() -> Answer | None:
        return wire.recorded(participant.answer)

    return federation


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is other code's state
            await asyncio.sleep(0.02)


async def rounds(
    lines: Lines, plan: Plan, start: Head, folder: Path, passed: Callable[[str, int, int], None] = lambda *_: None
) -> tuple[State, Verdict]:
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(
        lambda: refine(MeshGrid(lines, loop, passed), plan, start, folder, node_of, sleep=lambda _: None)
    )


def plan(found: list[LabelledFeatures], **more: Any) -> Plan:
    standard = Standard.of(np.concatenate([s.features for s in found]))
    return Plan(SUBJECT, LABELS, standard, 8, wait_s=0.0, **{"deadline_s": 20.0, **more})


async def test_sites_refine_a_head_over_their_lines_within_the_bytes_that_were_promised(tmp_path: Path) -> None:
    found, lines, wire = [drawn_site(i, features=FEATURES) for i in range(3)], Lines(), Wire()
    up_down: list[tuple[int, int]] = []
    async with running(tmp_path, *NODES, federation=lines) as gateway, AsyncExitStack() as stack:
        for node, site in zip(NODES, found, strict=False):
            await stack.enter_async_context(taking_part(gateway, node, answering(node, site, wire)))
        await until(lambda: len(lines.present()) == 3)
        what = plan(found)
        state, verdict = await rounds(
            lines, what, ZERO, tmp_path / "run", lambda _, up, down: up_down.append((up, down))
        )
    assert state.round == 8
    assert balanced(found, state.head, what.standard) > 0.85
    assert verdict.heads["shared"].sites == 3


def test_bytes_of_a_round_are_at_most_2_2_times_the_head_in_float32() -> None:
    shape = (3072, 2)
    head = Head(np.zeros(shape, np.float32), np.zeros(2, np.float32))
    standard = Standard(np.zeros(3072, np.float32), np.ones(3072, np.float32))
    config = {
        "config": {**SUBJECT.document(), "labels": list(LABELS), "class-weights": [1.0, 1.0], "mean-images": 100.0}
    }
    down = envelope.pack(
        envelope.Document(
            b"x" * 8, "train", {"arrays": pack_head(head), "standard": pack_standard(standard)}, {}, config
        )
    )
    for exchange in EXCHANGES:
        metrics = {"metrics": {"images": 100, "score": 0.912}}
        up = envelope.pack(envelope.Document(b"x" * 8, "", {"arrays": pack_change(head, head, exchange)}, metrics))
        pieces = [*envelope.pieces(down), *envelope.pieces(up)]
        assert sum(len(p) + 8 for p in pieces) <= 2.2 * 4 * (shape[0] + 1) * shape[1]  # 8: a websocket frame's head


async def test_a_site_that_hangs_and_one_that_breaks_off_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    found, lines, wire = [drawn_site(i) for i in range(4)], Lines(), Wire()
    asked = 0

    async def hanging() -> Answer | None:
        honest = await answering(NODES[3], found[3], wire)()
        assert honest is not None

        async def answer(question: bytes) -> bytes | None:
            if envelope.unpack(question).kind == "query":
                return await honest(question)
            await asyncio.sleep(3600)
            return None

        return answer

    async with running(tmp_path, *NODES, federation=lines) as gateway, AsyncExitStack() as stack:
        for node, site in zip(NODES[:2], found, strict=False):
            await stack.enter_async_context(taking_part(gateway, node, answering(node, site, wire)))
        await stack.enter_async_context(taking_part(gateway, NODES[3], hanging))
        leaving = taking_part(gateway, NODES[2], answering(NODES[2], found[2], wire))
        await leaving.__aenter__()
        await until(lambda: len(lines.present()) == 4)

        def passed(*_: object) -> None:
            nonlocal asked
            asked += 1

        work = asyncio.create_task(rounds(lines, plan(found, deadline_s=0.7), ZERO, tmp_path / "run", passed))
        await until(lambda: asked > 8)
        await leaving.__aexit__(None, None, None)
        state, _ = await work
    assert state.round == 8
    assert state.sites[NODES[3]].rounds == 0
    assert {code for _, code in state.sites[NODES[3]].dropped} == {"federation.reply_silent"}
    assert 0 < state.sites[NODES[2]].rounds < 8
    assert balanced(found, state.head, plan(found).standard) > 0.8


async def test_nonsense_from_a_node_ends_its_line_and_nothing_else(tmp_path: Path) -> None:
    found, lines, wire = [drawn_site(i) for i in range(2)], Lines(), Wire()
    async with running(tmp_path, *NODES, federation=lines) as gateway, AsyncExitStack() as stack:
        for node, site in zip(NODES, found, strict=False):
            await stack.enter_async_context(taking_part(gateway, node, answering(node, site, wire)))
        async with gateway.line(NODES[3]) as hostile:
            await hostile.send(encode(Hello("test", federates=True)))
            await until(lambda: len(lines.present()) == 3)
            work = asyncio.create_task(rounds(lines, plan(found), ZERO, tmp_path / "run"))
            while not isinstance(question := await hostile.recv(), bytes):
                pass
            name = envelope.id_of(question)
            await hostile.send(b"MMFP\x01" + name + b"\x00\x01\x00\x02" + b"x" * 100)
            code, reason = await closed(hostile)
        state, _ = await work
    assert (code, reason) == (1007, "federation.document_malformed")
    assert state.round == 8
    assert NODES[3] not in state.sites


async def test_answers_that_nobody_waits_for_are_let_go(tmp_path: Path) -> None:
    lines = Lines()
    async with running(tmp_path, *NODES, federation=lines) as gateway, gateway.line(NODES[0]) as node:
        await node.send(encode(Hello("test", federates=True)))
        await until(lambda: lines.present() == [NODES[0]])
        for _ in range(200):
            await node.send(b"MMFP\x01" + b"y" * 8 + b"\x00\x00\x00\x09" + b"z" * 15_000)
        await node.send(encode(Hello("test", federates=False)))
        await until(lambda: lines.present() == [])


async def test_a_node_that_has_not_consented_is_sent_nothing(tmp_path: Path) -> None:
    lines = Lines()

    async def no() -> Answer | None:
        return None

    async with running(tmp_path, *NODES, federation=lines) as gateway, taking_part(gateway, NODES[0], no):
        await until(lambda: len(gateway.gateway._nodes) == 1)
        assert lines.present() == []


async def test_consent_given_or_withdrawn_later_counts_without_a_new_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_node.agent.gateway._LOOK_EVERY_S", 0.05)
    lines, consented = Lines(), False
    honest = answering(NODES[0], drawn_site(1), Wire())

    async def federation() -> Answer | None:
        return await honest() if consented else None

    async with running(tmp_path, *NODES, federation=lines) as gateway, taking_part(gateway, NODES[0], federation):
        await until(lambda: len(gateway.gateway._nodes) == 1)
        consented = True
        await until(lambda: lines.present() == [NODES[0]])
        consented = False
        await until(lambda: lines.present() == [])


def draw(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """A picture with EXIF that nobody outside may ever see."""
    noise = np.random.default_rng(seed).integers(0, 40, (64, 64, 3))
    exif = Image.Exif()
    exif[0x010E] = "PATIENT MARKER Mrs Example"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(path, exif=exif, quality=95)


async def test_no_pixel_file_name_or_exif_is_on_the_wire(tmp_path: Path) -> None:
    """From files on the disk to the last round: the whole site, a real trunk, and all that passed."""
    spec = InputSpec(32, (0.0, 1.0))
    outputs = StageRunner(MEAN_TRUNK).outputs
    tap = sorted(outputs)[0]
    subject = Subject("malaria", "b" * 64, (tap,))
    lines, wire, raw, sites = Lines(), Wire(), [], []
    for number, node in enumerate(NODES[:2]):
        folder = tmp_path / f"site{number}"
        for i in range(12):
            draw(folder / "ill" / f"secret-name-{i}.jpg", (150, 30, 30), 100 * number + i)
            draw(folder / "well" / f"secret-name-w{i}.jpg", (30, 30, 150), 100 * number + 50 + i)
        (folder / "groups.csv").write_text(
            "file,group\n" + "".join(f"ill/secret-name-{i}.jpg,patient-{number}-{i}\n" for i in range(12))
        )
        raw += [p.read_bytes() for p in folder.rglob("*.jpg")]
        async with SiteStore.open(tmp_path / f"{node}.sqlite") as store:
            await store.add("malaria", read_folder(folder, None, lambda done, total: None))

        async def trunk(sha256: str) -> Trunk | None:
            return Trunk(sha256, MEAN_TRUNK, spec)

        async def permitted(disease: str) -> None:
            assert disease == "malaria"

        site = LocalSite(tmp_path / f"{node}.sqlite", trunk, permitted)
        app = make_app(lambda _, site=site: site, np.random.default_rng(1))
        sites.append(Participant(app, node, lambda kind, code: None))
    width = int(outputs[tap][1])
    standard = Standard(np.full(width, 0.4, np.float32), np.full(width, 0.2, np.float32))
    what = Plan(subject, LABELS, standard, 4, wait_s=0.0, deadline_s=60.0)
    start = Head(np.zeros((width, 2), np.float32), np.zeros(2, np.float32))
    async with running(tmp_path / "gateway", *NODES, federation=lines) as gateway, AsyncExitStack() as stack:
        for node, participant in zip(NODES, sites, strict=False):

            async def federation(participant: Participant = participant) -> Answer | None:
                return wire.recorded(participant.answer)

            await stack.enter_async_context(taking_part(gateway, node, federation))
        await until(lambda: len(lines.present()) == 2)
        state, verdict = await rounds(lines, what, start, tmp_path / "run")
    assert state.round == 4
    assert verdict.heads["shared"].mean > 0.9
    everything = b"".join(wire.documents)
    assert everything
    for text in (b"secret", b".jpg", b"patient", b"PATIENT", b"Exif", b"site0", str(tmp_path).encode()):
        assert text not in everything
    for picture in raw:
        assert all(picture[at : at + 24] not in everything for at in range(0, len(picture) - 24, 97))
