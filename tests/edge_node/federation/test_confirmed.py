from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_node.errors import EdgeError
from edge_node.federation.confirmed import read_confirmed, words
from edge_node.outbox.history import Remembered
from protocols.results.report import Confirmation

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def remembered(
    number: int, picture: bytes, word: str | None, disease: str = "malaria", case: str | None = None
) -> Remembered:
    result = {
        "disease": disease,
        "sha256": hashlib.sha256(picture).hexdigest(),
        "labels": [{"label": "ill"}, {"label": "well"}],
        **({} if case is None else {"case": case}),
    }
    made = NOW + timedelta(minutes=number)
    said = None if word is None else Confirmation("c", made, str(number), 1, word, None)
    return Remembered(str(number), made, result, said, "sent")


def test_pictures_with_a_word_are_found_wherever_they_lie(tmp_path: Path) -> None:
    results = [
        remembered(1, b"one", "ill", case="CASE-17"),
        remembered(2, b"two", "well", case="CASE-17"),
        remembered(3, b"three", None),
        remembered(4, b"four", "ill", disease="skin"),
    ]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "deep" / "er" / "b.jpg").write_bytes(b"two")
    for name in ("three", "four", "five"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    known, labels = words(results, "malaria")
    assert labels == ("ill", "well")
    reading = read_confirmed(tmp_path, known, labels, (), lambda done, total: None)
    assert {(i.path.name, i.label) for i in reading.images} == {("a.jpg", "ill"), ("b.jpg", "well")}
    assert len({i.group for i in reading.images}) == 1
    assert all("CASE-17" not in i.group for i in reading.images)


def test_the_newest_word_counts_and_other_takes_a_picture_out() -> None:
    known, _ = words([remembered(2, b"one", "well"), remembered(1, b"one", "ill")], "malaria")
    assert [w.label for w in known.values()] == ["well"]
    known, _ = words([remembered(1, b"one", "ill"), remembered(2, b"one", "other")], "malaria")
    assert known == {}


def test_a_sealed_copy_comes_before_the_original_and_needs_none(tmp_path: Path) -> None:
    results = [remembered(1, b"one", "ill"), remembered(2, b"two", "well"), remembered(3, b"three", "well")]
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "b.jpg").write_bytes(b"two")
    known, labels = words(results, "malaria")
    reading = read_confirmed(tmp_path, known, labels, {"1", "3"}, lambda done, total: None)
    assert {(i.result, i.path.name) for i in reading.images} == {("1", ""), ("3", ""), (None, "b.jpg")}
    alone = read_confirmed(None, known, labels, {"3"}, lambda done, total: None)
    assert [(i.result, i.label) for i in alone.images] == [("3", "well")]
    with pytest.raises(EdgeError) as caught:
        read_confirmed(None, known, labels, (), lambda done, total: None)
    assert caught.value.code == "federation.none_confirmed"


def test_a_folder_without_confirmed_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    with pytest.raises(EdgeError) as caught:
        read_confirmed(tmp_path, {}, (), (), lambda done, total: None)
    assert caught.value.code == "federation.none_confirmed"
