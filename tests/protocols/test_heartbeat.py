"""Heartbeats: what a reader takes, what it costs, and that there is room for nothing but counts."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from protocols.errors import ProtocolError
from protocols.heartbeat import (
    FORMAT,
    MAX_FRAME_BYTES,
    MAX_RELEASES,
    Letter,
    Outcomes,
    ReleaseHealth,
    is_heartbeat,
    pack,
    pack_carried,
    read_heartbeat,
    unpack,
    unpack_carried,
)
from protocols.results import batch, report
from protocols.signatures import envelope, signed_bytes
from tests.support.heartbeats import DECLINE, HEALTH, HEART, SENT

NODE = "a" * 16


def frame(document: object) -> bytes:
    """What a stranger may send, whose signature is nonsense."""
    return pack(envelope(b"x" * 70, json.dumps(document).encode()))


def test_a_heartbeat_survives_the_wire() -> None:
    letter = Letter(NODE, HEART)
    packed = pack(envelope(b"signature", letter.body()))
    read, signed = unpack(packed)
    assert read == letter
    assert (signed.signature, signed.data) == (b"signature", signed_bytes(FORMAT, letter.body()))
    assert is_heartbeat(packed) and unpack_carried(packed) is None
    assert len(packed) < 600


def test_outcomes_are_those_of_results() -> None:
    assert tuple(Outcomes.__dataclass_fields__) == report.OUTCOMES


def test_results_are_no_heartbeat() -> None:
    from tests.support.reports import report as some

    assert not is_heartbeat(batch.pack([some(1)])[0])


def test_times_are_whole_minutes_and_the_fullest_fits() -> None:
    slug = "very-long-name-of-a-model-that-nobody-would-think-of-" + "x" * 10
    health = [
        ReleaseHealth(
            slug, f"{slug[:-2]}{n:02}@{n + 1}", n > 5, SENT, "passed", n, Outcomes(n * 7919, n * 31, n, n), 9, 8
        )
        for n in range(MAX_RELEASES + 9)
    ]
    declined = tuple(replace(DECLINE, release=f"{slug[:-2]}{n:02}@{n + 1}") for n in range(70))
    events = tuple((f"some.long_code_of_an_event_{n:03}", n * 1_000_003) for n in range(70))
    full = replace(HEART, releases=tuple(health), declined=declined, events=events, sent=SENT.replace(second=9))
    packed = pack(envelope(b"x" * 71, Letter(NODE, full).body()))
    read = unpack(packed)[0].heartbeat
    assert len(packed) < MAX_FRAME_BYTES and read.sent == SENT
    assert len(read.releases) == MAX_RELEASES and sum(not x.active for x in read.releases) == 0


def put(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """``document`` with the value at ``path``, which names keys and places."""
    changed = json.loads(json.dumps(document))
    at: Any = changed
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        at = at[step]
    at[last] = value
    return changed  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("serial", 0),
        ("serial", 2**54),
        ("serial", True),
        ("sent", "2026-05-01T12:30:01+00:00"),
        ("sent", "2026-05-01T12:30:00"),
        ("sent", "1999-05-01T12:30:00+00:00"),
        ("program", "a clinic's own words"),
        ("program", ""),
        ("storage", [1]),
        ("storage", [1, -1]),
        ("storage", {"0": 1, "1": 2}),
        ("outbox", [1, 2, 3]),
        ("catalogue", ["1", 2]),
        ("releases", [[]]),
        ("releases/0/0", "Malaria"),
        ("releases/0/1", "cells"),
        ("releases/0/1", "cells@0"),
        ("releases/0/2", 1),
        ("releases/0/4", "perhaps"),
        ("releases/0/4", []),
        ("releases/0/6", [1, 2, 3]),
        ("releases/0/6/1", 1.5),
        ("releases/0/7", [3, 4]),
        ("declined/0/2", "self_test"),
        ("declined/1/2", "worse_here"),
        ("declined/0/3/0", 1.01),
        ("declined/0/3/0", float("nan")),
        ("declined/0/3/2", 0.5),
        ("declined/0/3/5", 201),
        ("events", {"Dr Li says": 1}),
        ("events", {f"e{n}": 1 for n in range(65)}),
        ("note", "free text"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(path: str, value: Any) -> None:
    changed = put(HEART.document(), path, value)
    with pytest.raises(ProtocolError) as caught:
        read_heartbeat(changed)
    assert caught.value.code == "heartbeat.malformed"
    assert caught.value.details["field"] == ("keys" if path == "note" else path.split("/")[0])


def test_a_release_stands_once() -> None:
    with pytest.raises(ProtocolError):
        read_heartbeat(replace(HEART, releases=(HEALTH, HEALTH)).document())
    with pytest.raises(ProtocolError):
        read_heartbeat(replace(HEART, declined=(DECLINE, DECLINE)).document())


@pytest.mark.parametrize("missing", list(HEART.document()))
def test_every_field_must_be_there(missing: str) -> None:
    with pytest.raises(ProtocolError):
        read_heartbeat({key: value for key, value in HEART.document().items() if key != missing})


@pytest.mark.parametrize("document", [[], None, 3, "x", {"node": NODE}, {"node": "A" * 16, "heartbeat": {}}])
def test_envelopes_of_strangers(document: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(frame(document))
    assert caught.value.code == "heartbeat.malformed"


def test_frames_of_strangers_are_bounded_before_they_are_expanded() -> None:
    bomb = b"MMHB\x01" + zlib.compress(b" " * 10_000_000, 9)
    deep = b"MMHB\x01" + zlib.compress(b"eA==\n" + b"[" * 60_000, 9)
    torn = frame({"node": NODE, "heartbeat": HEART.document()})[:-3]
    for hostile in (bomb, deep, torn, torn + b"xxxxx", b"MMHB\x01", b"", b"MMHB\x01nonsense"):
        with pytest.raises(ProtocolError) as caught:
            unpack(hostile)
        assert caught.value.code in ("heartbeat.malformed", "heartbeat.too_large")
    with pytest.raises(ProtocolError) as caught:
        unpack(b"MMHB\x01" + b"x" * MAX_FRAME_BYTES)
    assert caught.value.code == "heartbeat.too_large"


def test_a_carried_letter_says_whose_it_is_and_no_more() -> None:
    packed = pack_carried(NODE, b"sealed")
    assert is_heartbeat(packed) and unpack_carried(packed) == (NODE, b"sealed")
    for hostile in (packed[:-6], packed + b"x" * MAX_FRAME_BYTES):
        with pytest.raises(ProtocolError):
            unpack_carried(hostile)
