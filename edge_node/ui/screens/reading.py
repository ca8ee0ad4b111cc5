"""The knowledge base: a list to search, and a page for each disease."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.bullet import Bullet
from edge_node.ui.screens.widgets.layout import Card, Inside, inside
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Field, Touch
from edge_node.ui.texts import mark
from edge_node.ui.values import KnowledgeHit, Lines

_AT_ONCE = 15
_SECTIONS = (
    ("symptoms", mark("Symptoms")),
    ("image_signs", mark("Signs in the picture")),
    ("management", mark("What to do")),
    ("differential", mark("What else it could be")),
    ("prevention", mark("Prevention")),
)


class BrowserPage(Page):
    """Search, and what fits."""

    _most = _AT_ONCE

    def title(self) -> str:
        """What it is."""
        return self.words.t("Look up a disease")

    def head(self) -> Iterator[Widget]:
        """The search field."""
        self._field = Field(
            self.words.t("Name, symptom or code"),
            self.presenter.reading.search,
            key="browser.query",
            text=self.state.browser.query,
        )
        yield self._field

    def update(self) -> None:
        """The field is empty again after coming back."""
        if self._field.text != self.state.browser.query:
            self._field.text = self.state.browser.query

    def depends(self) -> Any:
        """The hits."""
        return self.state.browser.hits, self._most, self.state.language

    def build(self) -> Iterator[Widget]:
        """One row a hit."""
        hits = self.state.browser.hits
        if hits is None:
            yield self.note(self.words.t("One moment …"))
            return
        if not hits:
            yield self.note(self.words.t("Nothing found. Try another word, in Chinese or English."))
        for hit in hits[: self._most]:
            yield self._row(hit)
        if len(hits) > self._most:
            yield Touch(self.words.t("Show more"), self._more, key="browser.more")

    def _row(self, hit: KnowledgeHit) -> Widget:
        words = self.words
        other = hit.name.get("zh" if words.language == "en" else "en", "")
        urgency = words.t(wording.URGENCY.get(hit.urgency, hit.urgency))
        detail = words.t(" · ").join(part for part in (other, urgency) if part)
        if hit.snippet and self.state.browser.query.strip():
            detail += "\n" + hit.snippet
        return Touch(
            wording.name_of(hit.name, words),
            lambda: self.presenter.reading.read(hit.id),
            key=f"browser.entry.{hit.id}",
            pair=theme.SURFACE,
            detail=detail,
            align="left",
        )

    def _more(self) -> None:
        self._most += _AT_ONCE
        self.refresh()


class DiseasePageView(Page):
    """An entry: danger signs first, then what it is and what to do."""

    def title(self) -> str:
        """Its name."""
        page = self.state.browser.page
        return wording.name_of(page.name, self.words) if page else ""

    def depends(self) -> Any:
        """The entry."""
        return self.state.browser.page, self.state.language

    def build(self) -> Iterator[Widget | Inside]:
        """Sections from the most to the least urgent."""
        page, words = self.state.browser.page, self.words
        if page is None:
            return
        other = page.name.get("zh" if words.language == "en" else "en", "")
        yield Text(wording.name_of(page.name, words), size=theme.BIG)
        if other:
            yield self.note(other)
        if flags := wording.lines_of(page.red_flags, words):
            heading = Text(words.t("Danger signs: refer at once"), size=theme.TITLE, ink=theme.RED_FLAGS.ink)
            ink = theme.RED_FLAGS.ink
            yield from inside(Card(heading, pair=theme.RED_FLAGS), (Bullet(flag, ink=ink) for flag in flags))
        urgency = words.t(wording.URGENCY.get(page.urgency, page.urgency))
        reason = wording.name_of(page.urgency_reason, words)
        yield Card(
            Text(words.t("How urgent: {urgency}", urgency=urgency), size=theme.TITLE),
            *([Text(reason)] if reason else []),
        )
        review = words.t(wording.REVIEW.get(page.review_status, page.review_status))
        yield self.note(review, warning=page.review_status != "reviewed")
        if definition := wording.name_of(page.definition, words):
            yield Card(Text(words.t("What it is"), size=theme.TITLE), Text(definition))
        for key, title in _SECTIONS:
            lines: Lines = getattr(page, key)
            if texts := wording.lines_of(lines, words):
                yield from inside(Card(Text(words.t(title), size=theme.TITLE)), (Bullet(line) for line in texts))
        if page.codes:
            yield self.note(words.t("Codes: {codes}", codes=", ".join(page.codes)))
        if page.citations:
            yield Card(
                Text(words.t("Sources"), size=theme.BODY), *(Text(line, size=theme.SMALL) for line in page.citations)
            )
