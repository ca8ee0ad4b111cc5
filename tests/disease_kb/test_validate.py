from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from disease_kb import validate as rules
from disease_kb.model import Code, Entry, LabelMapping, Review, Text, Urgency
from disease_kb.seeding import seed_entries
from disease_kb.validate import validate
from tests.disease_kb.conftest import EntryFactory


def codes_of(*entries: Entry) -> list[str]:
    return [problem.code for problem in validate(entries).problems]


def test_the_packaged_seed_is_valid() -> None:
    report = validate(seed_entries())
    assert [str(problem) for problem in report.problems] == []
    assert report.languages == ("zh", "en")
    assert report.entries >= 40


def test_the_packaged_seed_is_checked_against_the_icd_list() -> None:
    pytest.importorskip("simple_icd_10_cm")
    assert validate(seed_entries()).codes_checked


def test_packaged_entries_are_drafts_until_a_clinician_signs() -> None:
    assert all(entry.review.status == "draft" or entry.review.by for entry in seed_entries())


def test_a_complete_entry_has_no_problem(make_entry: EntryFactory) -> None:
    assert codes_of(make_entry()) == []


def _without(entry: Entry, field: str) -> Entry:
    return replace(entry, texts=tuple(text for text in entry.texts if text.field != field))


def _with_text(entry: Entry, index: int, **changes: Any) -> Entry:
    texts = list(entry.texts)
    texts[index] = replace(texts[index], **changes)
    return replace(entry, texts=tuple(texts))


def test_each_rule_is_held(make_entry: EntryFactory) -> None:
    good = make_entry()
    broken = {
        "kb.rule.language": _with_text(good, 2, en=""),
        "kb.rule.uncited": _with_text(good, 2, cite=()),
        "kb.rule.evidence": _with_text(good, 2, evidence=""),
        "kb.rule.citation": _with_text(good, 2, cite=("book", "nowhere")),
        "kb.rule.review": replace(good, review=Review("reviewed", "A. Doctor", None)),
        "kb.rule.red_flag": replace(good, kind="normal"),
        "kb.rule.parent": replace(good, parents=("nowhere",)),
        "kb.rule.cycle": replace(good, parents=("grey-fever",)),
        "kb.rule.label_empty": replace(good, labels=(LabelMapping("!!", "exact"),)),
        "kb.rule.label_reassuring": replace(good, labels=(LabelMapping("healthy", "exact"),)),
        "kb.rule.code_twice": replace(good, codes=good.codes * 2),
    }
    for code, entry in broken.items():
        assert codes_of(entry) == [code]


@pytest.mark.parametrize("field", ["definition", "symptom", "red_flag", "management"])
def test_a_disease_needs_each_field(make_entry: EntryFactory, field: str) -> None:
    assert codes_of(_without(make_entry(), field)) == ["kb.rule.too_few"]


def test_a_disease_needs_an_urgency_in_both_languages_with_a_source(make_entry: EntryFactory) -> None:
    assert codes_of(make_entry(urgency=None)) == ["kb.rule.too_few"]
    assert codes_of(make_entry(urgency=Urgency("soon", "急"))) == ["kb.rule.language", "kb.rule.uncited"]


def test_a_synonym_may_stand_in_one_language(make_entry: EntryFactory) -> None:
    entry = make_entry()
    assert codes_of(replace(entry, texts=(*entry.texts, Text("synonym", zh="灰病", register="lay")))) == []


def test_parents_elsewhere_are_allowed_when_said(make_entry: EntryFactory) -> None:
    assert codes_of(make_entry(parents=("nowhere",), external=True)) == []


def test_one_circle_is_reported_once(make_entry: EntryFactory) -> None:
    circle = [make_entry(name, parents=(parent,)) for name, parent in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))]
    assert codes_of(*circle) == ["kb.rule.cycle"]


def test_a_shared_ancestor_is_no_circle(make_entry: EntryFactory) -> None:
    diamond = [make_entry("a", parents=("b", "c")), make_entry("b", parents=("d",)), make_entry("c", parents=("d",))]
    assert codes_of(*diamond, make_entry("d")) == []


def test_a_long_chain_of_parents_is_walked_without_recursion(make_entry: EntryFactory) -> None:
    chain = {f"n{n}": make_entry(f"n{n}", parents=(f"n{(n + 1) % 3000}",)) for n in range(3000)}
    assert [problem.code for problem in rules.parent_problems(chain)] == ["kb.rule.cycle"]


def test_a_label_belongs_to_one_entry_in_one_context(make_entry: EntryFactory) -> None:
    def claiming(name: str, label: str, context: str = "") -> Entry:
        return make_entry(name, labels=(LabelMapping(label, "exact", context),))

    assert codes_of(claiming("a", "Grey_Spot"), claiming("b", "grey spot")) == ["kb.rule.label_claimed"]
    assert codes_of(claiming("a", "spot", "skin"), claiming("b", "spot", "chest")) == []


def test_a_benign_label_may_open_an_entry_that_is_itself_about_something_benign(make_entry: EntryFactory) -> None:
    label = (LabelMapping("benign", "broad", "breast"),)
    assert codes_of(make_entry("a", "良性灰斑", "Benign grey spot", labels=label)) == []
    assert codes_of(make_entry("a", "灰斑", "Grey spot", labels=label)) == ["kb.rule.label_reassuring"]
    normal = (LabelMapping("no_spot", "exact", "breast"),)
    assert codes_of(make_entry("a", "良性灰斑", "Benign grey spot", labels=normal)) == ["kb.rule.label_reassuring"]


def test_a_code_that_does_not_exist_is_found(make_entry: EntryFactory) -> None:
    pytest.importorskip("simple_icd_10_cm")
    assert codes_of(make_entry(codes=(Code("ICD-10-CM", "Q99.99", "exact"),))) == ["kb.rule.code"]


def test_without_the_list_codes_are_reported_as_not_checked(
    make_entry: EntryFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "icd_codes", lambda: None)
    report = validate([make_entry(codes=(Code("ICD-10-CM", "Q99.99", "exact"),))])
    assert (report.problems, report.codes_checked) == ((), False)


def test_drafts_are_counted(make_entry: EntryFactory) -> None:
    signed = make_entry("b", review=Review("reviewed", "A", date(2026, 1, 1)))
    assert validate([make_entry("a"), signed]).unreviewed == 1
