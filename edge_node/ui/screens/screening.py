"""Screening: one photo, every disease with a model here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Column, Row
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch
from edge_node.ui.screens.widgets.verdict import Symbol
from edge_node.ui.values import Finding


class ScreeningPage(Page):
    """A card for each disease; answers that say something come first."""

    def title(self) -> str:
        """What was done."""
        return self.words.t("One photo, all diseases")

    def depends(self) -> Any:
        """The answers."""
        return self.state.screening, self.state.language

    def build(self) -> Iterator[Widget]:
        """Advice, then the cards."""
        yield self.note(self.words.t("Each model was asked by itself. A model for another kind of picture says so."))
        for failure in self.state.screening.set_aside:
            yield self.note("\n".join(wording.failure(failure, self.words)), warning=True)
        order = {"recognised": 0, "unsure": 1, "poor_quality": 2, "not_this_kind_of_image": 3}
        for finding in sorted(self.state.screening.findings, key=lambda f: order[f.outcome]):
            yield self._card(finding)

    def _card(self, finding: Finding) -> Widget:
        words, shelf = self.words, self.state.shelf
        verdict = wording.verdict(finding, words)
        pair = theme.TONES[verdict.tone]
        name = wording.name_of(shelf.name(finding.disease), words) if shelf else finding.disease
        said = Column(Text(name, size=theme.TITLE), Text(verdict.heading, ink=pair.ground), gap=4)
        if note := wording.stand_in(finding, words):
            said.add_widget(Text(note, size=theme.SMALL))
        read = Touch(
            words.t("See this answer"),
            lambda: self.presenter.results.show_screened(finding),
            key=f"screening.{finding.disease}",
            size=theme.SMALL,
        )
        return Card(Row(Symbol(verdict.symbol, pair, 60), said), read, edge=pair.ground)
