"""Batches: bounded before they are expanded, all right or refused."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.results.batch import FORMAT, MAX_FRAME_BYTES, MAX_RECORDS, batch_id, pack, unpack
from protocols.results.report import LabelScore, ResultReport
from tests.support.reports import confirmation, report


def test_a_batch_survives_the_wire() -> None:
    records = [report(1), confirmation(report(1)), report(2)]
    frame, count = pack(records)
    assert (list(unpack(frame)), count) == (records, 3)


def test_two_hundred_reports_cost_about_fifty_bytes_each() -> None:
    frame, count = pack([report(number) for number in range(500)])
    assert count == MAX_RECORDS
    assert len(frame) < 55 * MAX_RECORDS


def long_report(number: int) -> ResultReport:
    """Labels that do not compress well, as many and as long as may be."""
    chance = random.Random(number)
    labels = ["".join(chr(chance.randrange(0x4E00, 0x9E00)) for _ in range(120)) for _ in range(40)]
    return report(number, scores=(LabelScore(labels[0], 0.5, None),), prediction_set=tuple(labels))


def test_long_reports_are_packed_in_as_many_frames_as_they_need() -> None:
    records = [long_report(number) for number in range(20)]
    sent = []
    while records[len(sent) :]:
        frame, count = pack(records[len(sent) :])
        assert len(frame) <= MAX_FRAME_BYTES and 0 < count < 20
        sent += unpack(frame)
    assert sent == records


def test_a_report_that_fits_into_no_frame_is_refused() -> None:
    labels = tuple(label for number in range(6) for label in long_report(number).prediction_set)
    with pytest.raises(ProtocolError) as caught:
        pack([report(1, prediction_set=labels)])
    assert caught.value.code == "results.too_large"


def packed(document: Any) -> bytes:
    return zlib.compress(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "results.malformed"),
        (b"\x00" * 100, "results.malformed"),
        (b"x" * (MAX_FRAME_BYTES + 1), "results.too_large"),
        (zlib.compress(b"[" * 10_000_000), "results.malformed"),  # a bomb: 10 MB in 10 kB
        (pack([report(1)])[0][:-3], "results.malformed"),
        (pack([report(1)])[0] + b"x", "results.malformed"),
        (zlib.compress(b"[" * 400_000), "results.malformed"),
        (zlib.compress(b"\xff\xfe"), "results.malformed"),
        (packed([]), "results.malformed"),
        (packed({"format": FORMAT, "records": []}), "results.malformed"),
        (packed({"format": FORMAT, "records": [report(1).document()] * 201}), "results.malformed"),
        (packed({"format": "medmesh.results/2", "records": [report(1).document()]}), "results.malformed"),
        (packed({"format": FORMAT, "records": [report(1).document(), {"kind": "result"}]}), "results.malformed"),
    ],
)
def test_a_bad_frame_is_refused_as_a_whole(frame: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(frame)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for frame in (data, zlib.compress(data)):
        with pytest.raises(ProtocolError):
            unpack(frame)


def test_a_batch_is_named_by_its_bytes() -> None:
    assert batch_id(b"a") != batch_id(b"b") and len(batch_id(b"a")) == 16
