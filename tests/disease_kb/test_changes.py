from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from disease_kb.changes import Change, by_id, compare, diff, plan_import
from disease_kb.errors import InvalidEntryError
from disease_kb.model import Review, Text
from tests.disease_kb.conftest import EntryFactory


def test_new_entries_go_in_and_equal_ones_are_left(make_entry: EntryFactory) -> None:
    plan = plan_import(by_id([make_entry("a")]), [make_entry("a"), make_entry("b")])
    assert ([entry.id for entry in plan.write], plan.unchanged, plan.conflicts) == (["b"], ("a",), ())


def test_a_higher_version_replaces_a_draft(make_entry: EntryFactory) -> None:
    plan = plan_import(by_id([make_entry("a")]), [make_entry("a", version=2, provenance="better")])
    assert [entry.version for entry in plan.write] == [2]
    assert {change.where for change in plan.changes[0].changes} == {"version", "provenance"}


@pytest.mark.parametrize("version", [1, 2])
def test_a_change_without_a_higher_version_is_a_conflict(make_entry: EntryFactory, version: int) -> None:
    plan = plan_import(by_id([make_entry("a", version=2)]), [make_entry("a", version=version, provenance="other")])
    assert plan.write == ()
    assert plan.conflicts[0].reason == "version_not_raised"


def test_losing_a_review_is_a_conflict_even_with_a_higher_version(make_entry: EntryFactory) -> None:
    signed = make_entry("a", review=Review("reviewed", "A. Doctor", date(2026, 1, 1)))
    plan = plan_import(by_id([signed]), [make_entry("a", version=2)])
    assert plan.conflicts[0].reason == "review_lost"


def test_a_named_conflict_is_replaced(make_entry: EntryFactory) -> None:
    plan = plan_import(by_id([make_entry("a")]), [make_entry("a", provenance="other")], replace={"a"})
    assert (len(plan.write), plan.conflicts) == (1, ())


def test_an_id_that_stands_twice_is_refused(make_entry: EntryFactory) -> None:
    with pytest.raises(InvalidEntryError):
        plan_import({}, [make_entry("a"), make_entry("a", version=2)])


def test_an_inserted_text_shifts_only_its_own_field(make_entry: EntryFactory) -> None:
    before = make_entry()
    after = replace(before, texts=(*before.texts[:3], Text("symptom", "咳嗽", "Cough"), *before.texts[3:]))
    assert {change.where.partition("[")[2].partition("]")[0] for change in compare(before, after)} <= {"2", "3"}
    assert all(change.where.startswith("texts.symptom") for change in compare(before, after))


def test_a_change_shows_both_sides(make_entry: EntryFactory) -> None:
    assert compare(make_entry(), make_entry(licence="CC0-1.0")) == (Change("licence", "CC-BY-4.0", "CC0-1.0"),)


def test_a_diff_names_what_came_went_and_changed(make_entry: EntryFactory) -> None:
    before = by_id([make_entry("a"), make_entry("b"), make_entry("c")])
    after = by_id([make_entry("b"), make_entry("c", version=2), make_entry("d")])
    assert [(change.id, change.kind) for change in diff(before, after)] == [
        ("a", "removed"),
        ("c", "updated"),
        ("d", "added"),
    ]
