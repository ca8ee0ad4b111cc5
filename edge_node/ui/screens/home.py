"""Home: which disease is it about?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.metrics import dp
from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Row
from edge_node.ui.screens.widgets.touch import Touch
from edge_node.ui.values import Shelf


class HomePage(Page):
    """The diseases, what is ready for each, and how current all of it is."""

    def title(self) -> str:
        """The app's name."""
        return "MedMesh"

    def depends(self) -> Any:
        """List, language and a download under way."""
        return self.state.shelf, self.state.language, self.state.refreshing

    def build(self) -> Iterator[Widget]:
        """Freshness, diseases, screening."""
        shelf = self.state.shelf
        if shelf is None:
            yield self.note(self.words.t("One moment …"))
            return
        text, warning = wording.freshness(shelf.freshness, self.words, member=shelf.member)
        if self.state.refreshing:
            text += self.words.t(" · ") + self.words.t("asking now …")
        yield self.note(text, warning=warning)
        if not shelf.member:
            tap = self.presenter.joining.open
            yield Touch(self.words.t("Join a coordinator"), tap, key="home.join", pair=theme.PRIMARY)
        if shelf.diseases:
            yield self.heading(self.words.t("What shall the picture be checked for?"))
        elif shelf.member:
            yield self.note(self.words.t("The coordinator has released no models yet."))
        for disease in shelf.diseases:
            yield self._tile(shelf, disease)
        ready = {offer.disease for offer in shelf.offers if offer.ready}
        if len(ready) > 1:
            yield Touch(
                self.words.t("One photo, all diseases"),
                lambda: self.presenter.capture.begin(None),
                key="home.all",
                detail=self.words.n("{count} disease ready", "{count} diseases ready", len(ready)),
            )

    def _tile(self, shelf: Shelf, disease: str) -> Widget:
        offers = shelf.of(disease)
        best = next((offer for offer in offers if offer.ready), offers[0])
        status, _ = wording.offer_status(best, self.words)
        name = wording.name_of(shelf.name(disease), self.words)
        tile = Touch(
            name,
            lambda: self.presenter.open_disease(disease),
            key=f"home.disease.{disease}",
            pair=theme.PRIMARY if best.ready else theme.SURFACE,
            size=theme.TITLE,
            detail=status,
            align="left",
        )
        model = Touch(
            self.words.t("Model"),
            lambda: self.presenter.models.open_sheet(disease),
            key=f"home.model.{disease}",
            size=theme.SMALL,
            size_hint_x=None,
            width=dp(96),
        )
        return Row(tile, model, equal=True)
