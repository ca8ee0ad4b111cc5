from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_node.errors import EdgeError
from edge_node.federation.client_app import make_app
from edge_node.federation.images import LabelledFeatures
from edge_node.federation.participant import Participant
from protocols.errors import ProtocolError
from protocols.federation import envelope
from protocols.federation.envelope import Document
from protocols.federation.exchange import pack_head, pack_standard
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject, Training
from tests.support.federation import FEATURES, LABELS, SUBJECT, FixedSite, app_of, drawn_site

NODE = "00000000000000aa"
TRAINING = Training(LABELS, (1.0, 1.0), 60.0, 10.0, "float16", 0.0, 0.0, False)
ZERO = Head(np.zeros((FEATURES, 2), np.float32), np.zeros(2, np.float32))
STANDARD = Standard(np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32))
FOUND = drawn_site(1)


def question(kind: str = "train", head: Head = ZERO, **config: Any) -> Document:
    told = {**SUBJECT.document(), **TRAINING.document(), **config}
    return Document(
        b"12345678", kind, {"arrays": pack_head(head), "standard": pack_standard(STANDARD)}, {}, {"config": told}
    )


async def ask(asked: Document, found: LabelledFeatures | None = FOUND) -> Document:
    participant = Participant(app_of(FixedSite(found)), NODE, lambda kind, code: None)
    answer = await participant.answer(envelope.pack(asked))
    assert answer is not None
    return envelope.unpack(answer)


async def test_a_site_says_its_labels_and_coarse_counts_and_nothing_else() -> None:
    answer = await ask(question("query"))
    assert answer.id == b"12345678"
    assert answer.arrays == {}
    assert answer.metrics == {}
    site = answer.configs["site"]
    assert set(site) == {"labels", "counts"}
    assert site["labels"] == list(LABELS)
    assert all(count in (0, 10, 20, 50, 100) for count in site["counts"])


async def test_a_site_sends_a_change_and_two_numbers() -> None:
    answer = await ask(question())
    assert {k: set(v) for k, v in answer.arrays.items()} == {"arrays": {"weights", "bias"}}
    assert set(answer.metrics["metrics"]) == {"images", "score"}
    assert answer.configs == {}


async def test_clipping_holds_whatever_the_head_learned() -> None:
    answer = await ask(question(clip=0.01))
    change = np.concatenate([a.astype(np.float64).ravel() for a in answer.arrays["arrays"].values()])
    assert np.linalg.norm(change) == pytest.approx(0.01, rel=0.01)


async def test_noise_makes_two_answers_differ() -> None:
    participant = Participant(app_of(FixedSite(FOUND)), NODE, lambda kind, code: None)
    answers = [await participant.answer(envelope.pack(question(clip=0.1, noise=1.0))) for _ in range(2)]
    first, second = (envelope.unpack(a or b"").arrays["arrays"]["weights"] for a in answers)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (question(labels=["ill"]), "federation.task_malformed"),
        (question(labels=["ill", "well", "more"]), "federation.task_malformed"),
        (question(labels="ill"), "federation.reply_labels"),
        (question(**{"class-weights": [1.0, -1.0]}), "federation.task_malformed"),
        (question(**{"proximal-mu": 0.0}), "federation.task_malformed"),
        (question(**{"proximal-mu": float("nan")}), "federation.task_malformed"),
        (question(exchange="pickle"), "federation.task_malformed"),
        (question(everything=1), "federation.task_malformed"),
        (question(trunk="../../etc/passwd"), "federation.task_malformed"),
        (question(disease="Malaria!"), "federation.task_malformed"),
        (question(taps=[]), "federation.task_malformed"),
        (question(head=Head(np.zeros((3, 2), np.float32), np.zeros(2, np.float32))), "federation.reply_shape"),
        (replace(question(), arrays={}), "federation.task_malformed"),
        (replace(question(), configs={}), "federation.task_malformed"),
        (
            replace(question(), arrays={**question().arrays, "arrays": {"weights": np.zeros((40, 2), np.float16)}}),
            "federation.reply_keys",
        ),
    ],
)
async def test_a_question_that_makes_no_sense_is_declined_with_a_code(asked: Document, code: str) -> None:
    answer = await ask(asked)
    assert (answer.error, answer.arrays, answer.metrics) == (code, {}, {})


async def test_a_site_without_images_or_with_too_few_declines() -> None:
    assert (await ask(question(), None)).error == "federation.no_images"
    assert (await ask(question(), drawn_site(1, images=19))).error == "federation.too_few_images"


async def test_bytes_that_are_no_question_are_refused() -> None:
    participant = Participant(app_of(FixedSite(FOUND)), NODE, lambda kind, code: None)
    for data in (b"", b"MMFD\x01", envelope.pack(replace(question(), kind="")), b"x" * 100):
        with pytest.raises(ProtocolError) as caught:
            await participant.answer(data)
        assert caught.value.code == "federation.document_malformed"


async def test_more_questions_than_can_be_answered_are_let_go() -> None:
    begun, release = threading.Event(), threading.Event()

    class Slow:
        def features(self, subject: Subject) -> LabelledFeatures:
            begun.set()
            release.wait(10)
            raise EdgeError("federation.no_images")

    participant = Participant(make_app(lambda _: Slow(), np.random.default_rng()), NODE, lambda kind, code: None)
    data = envelope.pack(question())
    first, second = (asyncio.create_task(participant.answer(data)) for _ in range(2))
    await asyncio.to_thread(begun.wait, 10)
    assert await participant.answer(data) is None
    release.set()
    assert [envelope.unpack(a or b"").error for a in (await first, await second)] == ["federation.no_images"] * 2


async def test_what_was_answered_is_told() -> None:
    told: list[tuple[str, str]] = []
    tell: Callable[[str, str], None] = lambda kind, code: told.append((kind, code))  # noqa: E731
    participant = Participant(app_of(FixedSite(FOUND)), NODE, tell)
    await participant.answer(envelope.pack(question("query")))
    await participant.answer(envelope.pack(question(taps=[])))
    assert told == [("query", ""), ("train", "federation.task_malformed")]
