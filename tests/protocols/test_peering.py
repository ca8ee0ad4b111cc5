from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import chunks, peering
from protocols.artifacts import Artifact
from protocols.errors import ProtocolError

SHA = "ab" * 32
MESSAGES = [
    peering.Greeting("0123456789abcdef"),
    peering.Greeting("0123456789abcdef", gives=False),
    peering.Want(SHA),
    peering.Done(SHA),
    peering.Have(SHA, -1),
    peering.Have(SHA, 0b1011),
    peering.Gained(SHA, 3),
    peering.Claim(SHA, 3, 1000),
    peering.Unclaim(SHA, 3),
    peering.Get(SHA, 0),
    peering.Lack(SHA, 0),
    peering.Distrust(SHA),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_come_back_as_they_were(message: peering.Message) -> None:
    assert peering.decode(peering.encode(message)) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"type": "unknown"}',
        '{"type": "want"}',
        '{"type": "want", "artifact": "../etc/passwd"}',
        json.dumps({"type": "get", "artifact": SHA, "chunk": -1}),
        json.dumps({"type": "get", "artifact": SHA, "chunk": True}),
        json.dumps({"type": "get", "artifact": SHA, "chunk": 2**40}),
        json.dumps({"type": "claim", "artifact": SHA, "chunk": 0, "size": 10**9}),
        json.dumps({"type": "have", "artifact": SHA, "chunks": "f" * 1000}),
        json.dumps({"type": "have", "artifact": SHA, "chunks": -1}),
        json.dumps({"type": "peer", "instance": "a hospital's name", "gives": True, "wire": 1}),
        "[" * 2000,
        "x" * 5000,
    ],
)
def test_whatever_else_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        peering.decode(text)
    assert caught.value.code == "message.malformed"


def test_a_future_version_is_named() -> None:
    text = peering.encode(peering.Greeting("0123456789abcdef", wire=2))
    with pytest.raises(ProtocolError) as caught:
        peering.decode(text)
    assert caught.value.code == "message.version"


@given(st.text(max_size=300))
def test_noise_is_refused_or_read_but_never_breaks(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        peering.decode(text)


def test_chunk_frames_are_bounded() -> None:
    assert peering.decode_chunk(peering.encode_chunk(SHA, 7, b"abc")) == (SHA, 7, b"abc")
    for frame in (b"", b"x" * 35, b"x" * (peering.MAX_FRAME_BYTES + 1)):
        with pytest.raises(ProtocolError):
            peering.decode_chunk(frame)


def test_spans_cover_an_artifact_once() -> None:
    size = 3 * chunks.CHUNK_BYTES + 5
    spans = [chunks.span(index, size) for index in range(chunks.count(size))]
    assert spans[0][0] == 0
    assert spans[-1][1] == size
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert (chunks.count(0), chunks.count(1), chunks.count(chunks.CHUNK_BYTES)) == (1, 1, 1)


def test_an_artifact_of_one_chunk_is_its_own_chunk_and_others_need_a_list() -> None:
    assert chunks.digests(Artifact("head", SHA, 10), None) == [SHA]
    big = Artifact("trunk", SHA, 3 * chunks.CHUNK_BYTES, "cd" * 32)
    assert chunks.digests(big, None) is None
    listed = chunks.list_of(big)
    assert listed is not None
    assert (listed.sha256, listed.size_bytes) == ("cd" * 32, 96)
    assert Artifact.from_document(big.document()) == big
    with pytest.raises(ProtocolError):
        Artifact.from_document({**big.document(), "chunks": "x"})
