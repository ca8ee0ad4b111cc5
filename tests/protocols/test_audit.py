"""What a node keeps of the heads that it sees."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.audit import FIRST, Head, Row, Walk, following, head_of, keep, row_of
from protocols.errors import ProtocolError


def signed(count: int, minute: int, hash_: str = "a") -> dict[str, Any]:
    head = Head(count, hash_ * 64, f"2026-01-01T00:{minute:02d}:00+00:00")
    return {"signed": {"_type": "timestamp", "audit": head.document()}, "signatures": []}


def seen(*heads: dict[str, Any], most: int = 3) -> tuple[list[tuple[int, str]], list[str]]:
    known: list[dict[str, Any]] = []
    faults = []
    for head in heads:
        known, fault = keep(known, head, most)
        faults += [] if fault is None else [fault.why]
    return [(h.count, h.hash[0]) for e in known if (h := head_of(e)) is not None], faults


def test_the_last_few_heads_are_kept_once_each() -> None:
    assert seen(signed(1, 1), signed(1, 1), signed(5, 2), signed(9, 3), signed(12, 4)) == (
        [(5, "a"), (9, "a"), (12, "a")],
        [],
    )


def test_a_trail_that_shrinks_is_noted_and_its_longest_head_is_never_forgotten() -> None:
    heads, faults = seen(signed(90, 1), signed(3, 2), signed(4, 3), signed(5, 4), signed(6, 5))
    assert heads[0] == (90, "a") and heads[-1] == (6, "a") and len(heads) == 3
    assert set(faults) == {"truncated"}


def test_another_row_of_the_same_number_is_noted_and_both_stay() -> None:
    assert seen(signed(4, 1), signed(4, 2, "b")) == ([(4, "a"), (4, "b")], ["rewritten"])


def test_an_old_timestamp_from_a_stick_is_no_contradiction() -> None:
    assert seen(signed(9, 5), signed(4, 1)) == ([(9, "a"), (4, "a")], [])


def test_timestamps_without_a_head_change_nothing() -> None:
    plain = {"signed": {"_type": "timestamp"}, "signatures": []}
    assert keep([], plain, 3) == ([], None)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"signed": {"audit": {}}, "signatures": []},
        {"signed": {"audit": {"count": 0, "hash": "a" * 64, "at": ""}}},
    ],
)
def test_what_is_no_head_is_refused(document: object) -> None:
    with pytest.raises(ProtocolError):
        head_of(document)


def test_rows_survive_an_export_and_a_walk_finds_the_break() -> None:
    rows: list[Row] = []
    last = None
    for number in range(4):
        rows.append(
            following(last, "2026", ("user", "李"), "release.pause", f"m@{number}", {"b": 1, "a": [None, True]})
        )
        last = Head(rows[-1].number, rows[-1].hash, rows[-1].at)
    assert rows[0].previous == FIRST and [row_of(r.document()) for r in rows] == rows
    walk = Walk([last] if last else [])
    for row in rows[1:]:
        walk.row(row)
    assert [(f.row, f.why) for f in walk.end()] == [(1, "missing")]
    with pytest.raises(ProtocolError):
        row_of({"number": 1})
