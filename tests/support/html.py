"""Reading a page strictly: every element is closed in its turn, nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "br", "img", "hr", "link", "input"}
_PICTURE = "data:image/jpeg;base64,"
_FETCHES = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}


class Page(HTMLParser):
    """Collects tags, texts and references, and fails on markup that a browser would have to repair."""

    def __init__(self, html: str, pictures: bool = False) -> None:
        super().__init__()
        self.pictures: list[str] = []  # base64 of JPEGs, where they are expected
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.language: str | None = None
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        assert len(set(self.ids)) == len(self.ids), "an id stands twice"
        assert all(r.startswith("#") and r[1:] in self.ids for r in self.references), self.references
        assert not re.search(r"url\((?!#)|@import|javascript:", html)
        assert "default-src 'none'" in html
        assert not {"script", "iframe", "object", "embed", "link", "image"} & set(self.tags)
        assert pictures or "img" not in self.tags

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif tag == "img" and name == "src" and (value or "").startswith(_PICTURE):
                self.pictures.append((value or "").removeprefix(_PICTURE))
            elif name in _FETCHES:
                self.references.append(value or "")
            elif name == "lang" and tag == "html":
                self.language = value
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open and self.open[-1] != "style":
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        """All that a reader sees."""
        return "\n".join(self.texts)
