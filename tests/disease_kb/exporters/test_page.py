from __future__ import annotations

from html.parser import HTMLParser

from disease_kb.exporters import review_page
from disease_kb.model import Citation, LabelMapping, Review, Text
from disease_kb.seeding import seed_entries
from tests.disease_kb.conftest import EntryFactory

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_every_text_is_escaped(make_entry: EntryFactory) -> None:
    entry = make_entry(
        licence=EVIL,
        provenance=EVIL,
        labels=(LabelMapping(EVIL, "exact", EVIL),),
        review=Review("reviewed", EVIL),
        citations=(Citation(EVIL, EVIL, EVIL, 2000, "textbook"),),
        texts=(Text("name", EVIL, EVIL), Text("synonym", EVIL, EVIL, cite=(EVIL,))),
    )
    tags = Tags(review_page([entry], EVIL))
    assert not tags.names & {"script", "img"}
    assert not {name for name in tags.attributes if name.startswith("on")}


def test_the_page_fetches_and_runs_nothing() -> None:
    page = review_page(seed_entries(), "abc")
    tags = Tags(page)
    assert "default-src 'none'" in page
    assert not tags.names & {"script", "link", "img", "iframe", "object", "form"}
    assert "src" not in tags.attributes


def test_the_page_shows_each_entry_in_both_languages_and_says_draft(make_entry: EntryFactory) -> None:
    page = review_page([make_entry()], "abc")
    for text in ("灰热", "Grey fever", "意识模糊", "Confusion", "A book of medicine", "未经临床医生审核"):
        assert text in page
