from __future__ import annotations

from typing import Any

import pytest

from disease_kb.document import digest, from_document, to_document
from disease_kb.errors import InvalidEntryError
from disease_kb.model import LIMITS
from tests.disease_kb.conftest import EntryFactory


@pytest.fixture
def document(make_entry: EntryFactory) -> dict[str, Any]:
    return to_document(make_entry())


def test_a_document_gives_back_its_entry(make_entry: EntryFactory) -> None:
    entry = make_entry()
    assert from_document(to_document(entry)) == entry


def test_equal_entries_have_equal_digests_and_others_do_not(make_entry: EntryFactory) -> None:
    assert digest(make_entry()) == digest(make_entry())
    assert digest(make_entry()) != digest(make_entry(version=2))


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("id",), "Grey Fever", "kb.id.form"),
        (("id",), "../../etc/passwd", "kb.id.form"),
        (("id",), 7, "kb.field.type"),
        (("kind",), "curse", "kb.field.choice"),
        (("version",), 0, "kb.field.range"),
        (("version",), True, "kb.field.type"),
        (("updated",), "yesterday", "kb.field.date"),
        (("licence",), "", "kb.field.missing"),
        (("licence",), "   ", "kb.field.missing"),
        (("surprise",), "x", "kb.field.unknown"),
        (("parents",), "malaria", "kb.field.type"),
        (("parents",), [3], "kb.field.type"),
        (("parents",), ["a"] * 99, "kb.field.too_many"),
        (("urgency", "level"), "whenever", "kb.field.choice"),
        (("texts",), {"field": "name"}, "kb.field.type"),
        (("texts",), [{"field": "name", "zh": "x"}] * 9_999, "kb.field.too_many"),
        (("texts",), [], "kb.name.count"),
        (("texts", 0, "en"), "a\x00b", "kb.field.control_character"),
        (("texts", 0, "en"), "a\rb", "kb.field.control_character"),
        (("texts", 0, "zh"), "热\u202e灰", "kb.field.control_character"),
        (("texts", 0, "zh"), "\ud800", "kb.field.control_character"),
        (("texts", 0, "spelling"), "x", "kb.field.unknown"),
        (("texts", 1, "register"), "lay", "kb.field.unknown"),
        (("texts", 1, "en"), "x" * 10_000_000, "kb.field.too_long"),
        (("citations", "book", "year"), "2020", "kb.field.type"),
        (("citations", "book", "year"), 20, "kb.field.range"),
        (("citations",), [], "kb.field.type"),
    ],
)
def test_refuses_what_breaks_the_format(
    document: dict[str, Any], path: tuple[str | int, ...], value: object, code: str
) -> None:
    table: Any = document
    for step in path[:-1]:
        table = table[step]
    table[path[-1]] = value

    with pytest.raises(InvalidEntryError) as caught:
        from_document(document)

    assert caught.value.code == code
    assert len(caught.value.message("zh")) < 600


def test_refuses_many_allowed_texts_that_are_too_much_together(document: dict[str, Any]) -> None:
    texts = [{"field": "symptom", "en": "x" * LIMITS.text} for _ in range(100)]
    document["texts"] += texts

    with pytest.raises(InvalidEntryError) as caught:
        from_document(document)

    assert caught.value.code == "kb.field.too_long"
