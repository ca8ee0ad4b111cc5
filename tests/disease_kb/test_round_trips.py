"""Native, CSV, SQLite and replica give back every entry that the model allows."""

from __future__ import annotations

import asyncio
import string
import tempfile
from datetime import date
from pathlib import Path
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from disease_kb import KnowledgeBase, native, replica
from disease_kb.document import FORBIDDEN, from_document, to_document
from disease_kb.exporters import csv_table
from disease_kb.importers.csv_table import read_csv
from disease_kb.model import (
    FIELDS,
    KINDS,
    Citation,
    CitationKind,
    Code,
    CodeSystem,
    Entry,
    Evidence,
    Grade,
    LabelMapping,
    Register,
    Review,
    ReviewStatus,
    Text,
    Translation,
    Urgency,
    UrgencyLevel,
)

_AWKWARD = st.sampled_from(
    ["=1+1", "'", "''=x", "-", "@a", "|", "a\\|b", "\\", '"', "a,b;c\td", "x\n\ny", "\n=2", "灰{", "𠀀"]
)
_ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | _AWKWARD
WORDS = _ANY.map(lambda text: FORBIDDEN.sub("", text)).filter(lambda text: bool(text.strip()))
MAYBE = st.just("") | WORDS
SLUGS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))
GRADES = st.sampled_from(get_args(Grade))
CITES = st.lists(WORDS, max_size=3).map(tuple)


def _texts(field: str) -> st.SearchStrategy[Text]:
    registers = st.sampled_from(get_args(Register)) if field == "synonym" else st.just("")
    text = st.builds(
        Text,
        st.just(field),
        MAYBE,
        MAYBE,
        registers,
        CITES,
        st.sampled_from(get_args(Evidence)),
        st.sampled_from(get_args(Translation)),
    )
    return text.filter(lambda text: bool(text.zh or text.en))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    others = st.sampled_from([field for field in FIELDS if field != "name"])
    texts = draw(st.lists(others.flatmap(_texts), max_size=6))
    texts.insert(draw(st.integers(0, len(texts))), draw(_texts("name")))
    keys = sorted(draw(st.sets(WORDS, max_size=3)))
    years, kinds = st.integers(1500, 2200), st.sampled_from(get_args(CitationKind))
    urgency = st.builds(Urgency, st.sampled_from(get_args(UrgencyLevel)), MAYBE, MAYBE, CITES)
    return Entry(
        id=draw(SLUGS),
        kind=draw(st.sampled_from(KINDS)),
        version=draw(st.integers(1, 999_999_999)),
        updated=draw(DATES),
        licence=draw(WORDS),
        provenance=draw(WORDS),
        external=draw(st.booleans()),
        parents=draw(st.lists(SLUGS, max_size=3).map(tuple)),
        modality=draw(CITES),
        review=draw(st.builds(Review, st.sampled_from(get_args(ReviewStatus)), MAYBE, st.none() | DATES)),
        urgency=draw(st.none() | urgency),
        codes=tuple(draw(st.lists(st.builds(Code, st.sampled_from(get_args(CodeSystem)), WORDS, GRADES), max_size=3))),
        labels=tuple(draw(st.lists(st.builds(LabelMapping, WORDS, GRADES, MAYBE), max_size=3))),
        texts=tuple(texts),
        citations=tuple(Citation(key, draw(WORDS), draw(WORDS), draw(years), draw(kinds)) for key in keys),
    )


several = st.lists(entries(), min_size=1, max_size=3, unique_by=lambda entry: entry.id)
slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(entries())
@settings(max_examples=150, deadline=None)
def test_native_text_gives_back_the_entry(entry: Entry) -> None:
    assert native.loads(native.dumps(entry).encode(), "x.toml") == entry
    assert from_document(to_document(entry)) == entry


@given(several)
@settings(max_examples=150, deadline=None)
def test_csv_gives_back_the_entries(wanted: list[Entry]) -> None:
    table = read_csv(csv_table(wanted), "x.csv")

    assert table.problems == ()
    assert list(table.entries) == wanted


@given(several)
@settings(max_examples=100, deadline=None)
def test_a_replica_gives_back_the_entries_in_the_order_of_their_ids(wanted: list[Entry]) -> None:
    data = replica.build(wanted)

    assert replica.read(data) == sorted(wanted, key=lambda entry: entry.id)
    assert replica.build(reversed(wanted)) == data


@given(several)
@slow
def test_sqlite_gives_back_the_entries(wanted: list[Entry]) -> None:
    async def through_sqlite() -> list[Entry]:
        with tempfile.TemporaryDirectory() as folder:
            async with await KnowledgeBase.open(Path(folder) / "kb.sqlite") as kb:
                await kb.replace_all(wanted)
                return await kb.entries()

    assert asyncio.run(through_sqlite()) == sorted(wanted, key=lambda entry: entry.id)
