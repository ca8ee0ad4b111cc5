from __future__ import annotations

from datetime import date

import pytest

from disease_kb.errors import ConflictError, InvalidEntryError
from disease_kb.model import Review, ReviewStatus
from disease_kb.review import review
from tests.disease_kb.conftest import EntryFactory

DAY = date(2026, 5, 6)


def test_a_review_records_who_and_when(make_entry: EntryFactory) -> None:
    reviewed = review(make_entry(), "reviewed", " 李医生 ", DAY)
    assert reviewed.review == Review("reviewed", "李医生", DAY)
    assert reviewed.texts == make_entry().texts


def test_translations_are_marked_only_when_they_were_read(make_entry: EntryFactory) -> None:
    reviewed = review(make_entry(), "reviewed", "A", DAY, translations=True)
    assert {text.translation for text in reviewed.texts if text.field != "name"} == {"reviewed"}


def test_a_retired_entry_returns_only_as_a_draft(make_entry: EntryFactory) -> None:
    retired = review(make_entry(), "retired", "A", DAY)
    with pytest.raises(ConflictError):
        review(retired, "reviewed", "A", DAY)
    assert review(retired, "draft", "A", DAY).review == Review()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "x" * 10_000])
@pytest.mark.parametrize("status", ["reviewed", "retired"])
def test_a_review_needs_a_plain_name(make_entry: EntryFactory, name: str, status: ReviewStatus) -> None:
    with pytest.raises(InvalidEntryError):
        review(make_entry(), status, name, DAY)
