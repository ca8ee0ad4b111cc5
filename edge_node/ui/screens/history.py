"""Past results, with search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.presenter.past import matching
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.touch import Field, Touch
from edge_node.ui.values import PastCase

_AT_ONCE = 15


class HistoryPage(Page):
    """The latest first."""

    _most = _AT_ONCE
    _field: Field | None = None

    def title(self) -> str:
        """What it is."""
        return self.words.t("History")

    def head(self) -> Iterator[Widget]:
        """The search field."""
        if self.presenter.services.history is not None:
            self._field = Field(
                self.words.t("Case reference, disease or date"),
                self.presenter.past.search,
                key="history.query",
                text=self.state.history.query,
            )
            yield self._field

    def update(self) -> None:
        """The field is empty again after coming back."""
        if self._field is not None and self._field.text != self.state.history.query:
            self._field.text = self.state.history.query

    def depends(self) -> Any:
        """Cases and query."""
        return self.state.history, self._most, self.state.language

    def build(self) -> Iterator[Widget]:
        """One row a case."""
        history, words = self.state.history, self.words
        if self.presenter.services.history is None:
            yield self.note(words.t("Results are not kept on this device yet."), warning=True)
            return
        if history.cases is None:
            yield self.note(words.t("One moment …"))
            return
        references = dict(history.references)
        found = matching(history.cases, references, history.query, self.state.shelf)
        if not found:
            yield self.note(words.t("No results.") if history.cases else words.t("No results yet."))
        for case in found[: self._most]:
            yield self._row(case, references.get(case.id, ""))
        if len(found) > self._most:
            yield Touch(words.t("Show more"), self._more, key="history.more")

    def _row(self, case: PastCase, reference: str) -> Widget:
        words, shelf = self.words, self.state.shelf
        name = wording.name_of(shelf.name(case.disease), words) if shelf else case.disease
        when = case.when.astimezone().strftime("%Y-%m-%d %H:%M")
        outcome = words.t(wording.OUTCOMES[case.outcome])
        if case.outcome == "recognised":
            outcome = words.t("Looks like: {name}", name=wording.name_of(case.name, words))
        parts = [when, outcome]
        if case.confirmed:
            parts.append(
                words.t("Confirmed: ") + (wording.name_of(case.confirmed_name, words) or words.t("Something else"))
            )
        if case.sent is not None:
            parts.append(words.t("sent") if case.sent else words.t("waiting to be sent"))
        heading = f"{reference}{words.t(' · ')}{name}" if reference else name
        return Touch(
            heading,
            lambda: self.presenter.open_case(case.id),
            key=f"history.case.{case.id}",
            pair=theme.SURFACE,
            detail=words.t(" · ").join(parts),
            align="left",
        )

    def _more(self) -> None:
        self._most += _AT_ONCE
        self.refresh()
