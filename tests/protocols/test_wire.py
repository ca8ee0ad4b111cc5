"""Invites, messages, announcements and scores."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.discovery import MAX_CANDIDATES, Announcement, Candidates, from_txt, to_txt
from protocols.errors import ProtocolError
from protocols.invite import Invite
from protocols.messages import (
    MAX_MESSAGE_BYTES,
    MAX_PEERS,
    CatalogueNotice,
    Hello,
    Listening,
    Message,
    Neighbours,
    Receipt,
    decode,
    encode,
)


def test_invite_survives_copying_with_line_breaks() -> None:
    invite = Invite(("https://10.0.0.1:8765",), "a" * 64, "token", "b" * 64, 7)
    text = invite.encode()
    assert "\n" not in text
    assert Invite.decode(f"  {text[:40]}\n {text[40:]}\n") == invite


@given(st.text(max_size=200))
def test_any_text_is_refused_as_invite(text: str) -> None:
    for candidate in (text, "medmesh1." + text):
        with pytest.raises(ProtocolError):
            Invite.decode(candidate)


@pytest.mark.parametrize(
    "message",
    [
        Hello("medmesh-edge/0.1"),
        CatalogueNotice(12),
        CatalogueNotice(12, ("medmesh.results/1",)),
        Receipt("0123456789abcdef"),
        Hello("medmesh-edge/0.1", listening=Listening(("192.168.1.7", "fd00::7"), 40123)),
        Hello("medmesh-edge/0.1", listening=Listening(("10.0.0.1",), 4000), federates=True),
        Neighbours(()),
        Neighbours((("192.168.1.7", 40123), ("fd00::7", 1))),
    ],
)
def test_message_survives_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message


def test_a_notice_of_an_older_coordinator_accepts_nothing_and_one_for_older_nodes_stays_readable() -> None:
    assert decode('{"type":"catalogue","serial":3}') == CatalogueNotice(3)
    match json.loads(encode(CatalogueNotice(3, ("medmesh.results/1",)))):  # as version 0.1.0 of the node reads it
        case {"type": "catalogue", "serial": int(serial)}:
            assert serial == 3
        case other:
            raise AssertionError(other)


def test_an_older_coordinator_reads_the_greeting_of_a_node_that_serves_peers() -> None:
    match json.loads(encode(Hello("x", listening=Listening(("10.0.0.1",), 4000)))):  # as version 0.1.0 reads it
        case {"type": "hello", "program": str(), "wire_version": int(version)}:
            assert version == 1
        case other:
            raise AssertionError(other)


def test_the_longest_list_of_neighbours_fits_a_message() -> None:
    longest = ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
    message = Neighbours((longest,) * MAX_PEERS)
    assert len(encode(message)) < MAX_MESSAGE_BYTES
    assert decode(encode(message)) == message


def _hello(peer: object) -> str:
    return json.dumps({"type": "hello", "program": "x", "wire_version": 1, "peer": peer})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("{", "message.malformed"),
        (b"\x00", "message.malformed"),
        ("[]", "message.malformed"),
        ('{"type":"hello","program":"x","wire_version":9}', "message.version"),
        ('{"type":"catalogue","serial":-1}', "message.malformed"),
        ('{"type":"catalogue","serial":1,"accepts":"x"}', "message.malformed"),
        ('{"type":"catalogue","serial":1,"accepts":["X Y"]}', "message.malformed"),
        ('{"type":"catalogue","serial":1,"accepts":' + json.dumps(["x"] * 17) + "}", "message.malformed"),
        ('{"type":"receipt","batch":"xyz"}', "message.malformed"),
        (_hello({"addresses": ["clinic.example"], "port": 1}), "message.malformed"),
        (_hello({"addresses": ["fe80::1%eth0"], "port": 1}), "message.malformed"),
        (_hello({"addresses": ["10.0.0.1"] * 5, "port": 1}), "message.malformed"),
        (_hello({"addresses": [], "port": 1}), "message.malformed"),
        (_hello({"addresses": ["10.0.0.1"], "port": 65536}), "message.malformed"),
        (_hello({"addresses": ["10.0.0.1"], "port": True}), "message.malformed"),
        (_hello("10.0.0.1:1"), "message.malformed"),
        ('{"type":"neighbours","addresses":["10.0.0.1"]}', "message.malformed"),
        ('{"type":"neighbours","addresses":[["localhost",1]]}', "message.malformed"),
        ('{"type":"neighbours","addresses":' + json.dumps([["10.0.0.1", 1]] * 65) + "}", "message.malformed"),
        ("[" * 20_000, "message.malformed"),
        ('{"type":"' + "x" * MAX_MESSAGE_BYTES + '"}', "message.malformed"),
    ],
)
def test_bad_message_is_refused(data: str | bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert caught.value.code == code


def test_announcement_names_no_one_and_reads_back() -> None:
    record = to_txt("coordinator", "ab" * 32, 8766)
    assert record == {"v": "1", "role": "coordinator", "id": "abababababababab", "np": "8766"}
    properties = {k.encode(): v.encode() for k, v in record.items()}
    assert from_txt(properties, "10.0.0.1", 8765) == Announcement("coordinator", "ab" * 8, "10.0.0.1", 8765, 8766)


@given(st.dictionaries(st.binary(max_size=6), st.none() | st.binary(max_size=20), max_size=6), st.integers())
def test_any_record_is_read_or_ignored(properties: dict[bytes, bytes | None], port: int) -> None:
    found = from_txt(properties, "10.0.0.1", port)
    assert found is None or 0 < found.port < 65536


def test_three_thousand_forged_announcements_keep_sixty_four() -> None:
    heard = Candidates()
    for number in range(3000):
        heard.hear(Announcement("coordinator", f"{number:016x}", "10.0.0.1", 8765))
    assert len(heard.all()) == MAX_CANDIDATES
