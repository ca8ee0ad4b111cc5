"""Reports are read strictly: they come from strangers."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.recognition import Outcome
from protocols.results.report import OUTCOMES, Confirmation, ResultReport, is_record_id, read_report, whole_minute
from tests.support.reports import confirmation, report


def through_json(document: Any) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("record", [report(1), report(2, novelty=None, prediction_set=()), confirmation(report(1))])
def test_a_report_survives_its_json(record: ResultReport | Confirmation) -> None:
    assert read_report(through_json(record.document())) == record


def test_the_outcomes_are_those_of_recognition() -> None:
    assert get_args(Outcome) == OUTCOMES


def test_times_are_whole_minutes_in_utc() -> None:
    chinese = datetime(2026, 1, 31, 20, 34, 56, 789, tzinfo=timezone(timedelta(hours=8)))
    assert whole_minute(chinese) == datetime(2026, 1, 31, 12, 34, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "image"),
        ("id", "A" * 32),
        ("id", "0" * 31),
        ("made", "2026-01-31T12:34:56+00:00"),
        ("made", "2026-01-31T12:34:00"),
        ("made", "1970-01-01T00:00:00+00:00"),
        ("made", "never"),
        ("disease", "Malaria of Mr Wang"),
        ("model", "../model"),
        ("version", 0),
        ("version", True),
        ("version", 1.0),
        ("outcome", "cured"),
        ("reasons", ["Patient: Wang"]),
        ("reasons", ["x"] * 17),
        ("scores", []),
        ("scores", [["a", 0.5, None]] * 9),
        ("scores", [["a", 0.5, None]] * 2),
        ("scores", [["a", 1.5, None]]),
        ("scores", [["a", float("nan"), None]]),
        ("scores", [["a", True, None]]),
        ("scores", [["a", 0.5, "No entry"]]),
        ("scores", [["line\nbreak", 0.5, None]]),
        ("scores", [["x" * 121, 0.5, None]]),
        ("scores", [["\ud800", 0.5, None]]),
        ("scores", [["a", 0.5]]),
        ("set", ["a", "a"]),
        ("set", "parasitized"),
        ("novelty", -1),
        ("novelty", float("inf")),
        ("quality", [0.1, 1.0, 0.5, 1]),
        ("quality", [0.1, 1.0, 1.5, True]),
        ("quality", {}),
    ],
)
def test_a_field_that_does_not_fit_is_named(field: str, value: Any) -> None:
    document = report(1).document() | {field: value}
    with pytest.raises(ProtocolError) as caught:
        read_report(document)
    assert (caught.value.code, caught.value.details["field"]) == ("results.malformed", field)


@pytest.mark.parametrize(
    ("field", "value"),
    [("result", "x"), ("revision", 0), ("revision", 10_000), ("label", ""), ("entry", "?"), ("made", None)],
)
def test_a_word_that_does_not_fit_is_named(field: str, value: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_report(confirmation(report(1)).document() | {field: value})
    assert caught.value.details["field"] == field


@pytest.mark.parametrize("extra", ["case", "image", "sha256", "note", "patient"])
def test_there_is_no_place_for_anything_else(extra: str) -> None:
    for record in (report(1), confirmation(report(1))):
        with pytest.raises(ProtocolError):
            read_report(record.document() | {extra: "x"})
        short = copy.copy(record.document())
        del short["made"]
        with pytest.raises(ProtocolError):
            read_report(short)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5))
def test_any_json_is_read_or_refused(value: Any) -> None:
    for document in (value, {"kind": "result", "id": value}, report(1).document() | {"scores": value, "set": value}):
        with pytest.raises(ProtocolError):
            read_report(document)


def test_record_ids_are_128_bits() -> None:
    assert is_record_id("0" * 32)
    assert not is_record_id("0" * 33) and not is_record_id(None) and not is_record_id("g" * 32)
