from __future__ import annotations

import pytest

from disease_kb.document import canonical_json
from disease_kb.errors import UnreadableSourceError
from disease_kb.importers.obo import read_obo

HEADER = "format-version: 1.2\ndata-version: doid/releases/2026-07-31/x.obo\n"
TERM = """
[Term]
id: DOID:0050523
name: adult T-cell leukemia
def: "A T-cell \\"acute\\" leukemia." [url:http\\://example.org]
synonym: "ATLL" EXACT OMO:0003012 []
synonym: "blood cancer" BROAD []
xref: ICD10CM:C91.5
xref: MIM:607785
xref: SNOMEDCT_US_2025_09_01:445227008
xref: UMLS_CUI:C0349639
is_a: DOID:0070004 ! myeloid neoplasm

[Term]
id: DOID:1
name: gone
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""


def test_reads_terms_as_english_drafts() -> None:
    (entry,) = read_obo((HEADER + TERM).encode(), "x.obo")
    assert entry.id == "doid-0050523"
    assert entry.name.en == "adult T-cell leukemia"
    assert [text.en for text in entry.of("synonym")] == ["ATLL"]
    assert [text.en for text in entry.of("definition")] == ['A T-cell "acute" leukemia.']
    assert entry.parents == ("doid-0070004",)
    assert entry.review.status == "draft"
    assert entry.citations[0].year == 2026


def test_takes_no_code_that_needs_a_licence() -> None:
    (entry,) = read_obo((HEADER + TERM).encode(), "x.obo")
    assert [(code.system, code.code, code.match) for code in entry.codes] == [
        ("DOID", "DOID:0050523", "exact"),
        ("ICD-10-CM", "C91.5", "close"),
    ]
    for owner in ("445227008", "C0349639", "607785"):
        assert owner not in canonical_json(entry)


@pytest.mark.parametrize("data", [b"", b"[Term]\nid: DOID:1\n", b"\xff\xfe", b"<rdf>"])
def test_refuses_what_is_not_obo(data: bytes) -> None:
    with pytest.raises(UnreadableSourceError):
        read_obo(data, "x.obo")


def test_a_term_without_id_or_name_is_named() -> None:
    with pytest.raises(UnreadableSourceError) as caught:
        read_obo((HEADER + "\n[Term]\nname: nameless\n").encode(), "x.obo")
    assert caught.value.code == "kb.obo.term"
