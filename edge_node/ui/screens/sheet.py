"""A disease's models: what they cost, who answers for them, how good they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card
from edge_node.ui.screens.widgets.level import Bar
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch
from edge_node.ui.values import Card as ModelCard
from edge_node.ui.values import Offer


class SheetPage(Page):
    """One card a model."""

    _bar: Bar | None = None
    _progress: Text | None = None

    def title(self) -> str:
        """The disease."""
        shelf = self.state.shelf
        return wording.name_of(shelf.name(self.state.sheet.disease), self.words) if shelf else ""

    def depends(self) -> Any:
        """Offers and cards; the figures of a download change without rebuilding."""
        sheet = self.state.sheet
        going = sheet.download and replace(sheet.download, done=0, total=0, seconds=0.0)
        return self.state.shelf, sheet.disease, sheet.cards, going, sheet.over_budget, self.state.language

    def build(self) -> Iterator[Widget]:
        """A card for each model."""
        self._bar = self._progress = None
        cards = dict(self.state.sheet.cards)
        for offer in self.state.shelf.of(self.state.sheet.disease) if self.state.shelf else ():
            yield Card(*self._model(offer, cards.get(offer.model)))

    def _model(self, offer: Offer, card: ModelCard | None) -> Iterator[Widget]:
        words = self.words
        release = offer.release or f"{offer.model}@{offer.version}"
        yield Text(release, size=theme.TITLE)
        status, warning = wording.offer_status(offer, words)
        yield Text(status, ink=theme.DANGER.ground if warning else theme.PRIMARY.ground)
        if offer.revoked:
            yield Text(words.t("Reason: {reason}", reason=offer.revoked))
        if offer.signer and offer.signer != "-":
            yield Text(words.t("Approved by: {names}", names=offer.signer), size=theme.SMALL)
        if offer.active_version is not None and offer.has_update:
            yield Text(
                words.t("On this device: {release}", release=f"{offer.model}@{offer.active_version}"), size=theme.SMALL
            )
        yield from self._download(offer)
        if offer.ready:
            yield Touch(
                words.t("Use this model"),
                lambda: self.presenter.capture.begin(offer.disease, offer.model),
                key=f"sheet.use.{offer.model}",
                pair=theme.PRIMARY,
            )
        if card is not None:
            yield from self._card(card)
        if offer.active_version is not None:
            yield Touch(
                words.t("Remove from this device"),
                lambda: self.presenter.models.remove(offer),
                key=f"sheet.remove.{offer.model}",
                size=theme.SMALL,
            )

    def _download(self, offer: Offer) -> Iterator[Widget]:
        words, going = self.words, self.state.sheet.download
        if going is not None and (going.disease, going.model) == (offer.disease, offer.model):
            self._progress, self._bar = Text("", size=theme.SMALL), Bar(0)
            yield self._progress
            yield self._bar
            yield Touch(words.t("Cancel"), self.presenter.models.cancel_download, key="sheet.cancel", pair=theme.DANGER)
            yield self.note(words.t("What has arrived is kept; the download goes on from there."))
            return
        if offer.release is None or offer.declined is not None:
            return
        if offer.active_version is not None and not offer.has_update and not offer.bytes_needed:
            return
        if offer.bytes_needed is None:
            return
        seconds = offer.bytes_needed / wording.ASSUMED_BYTES_PER_S
        yield Text(words.t("Still to download: {size}", size=wording.size_text(offer.bytes_needed)))
        if offer.bytes_needed:
            about = wording.duration(seconds, words)
            yield Text(words.t("On a slow line (256 kbit/s) about {time}", time=about), size=theme.SMALL)
        busy = going is not None
        yield Touch(
            words.t("Download") if offer.active_version is None else words.t("Update"),
            None if busy else lambda: self.presenter.models.download(offer),
            key=f"sheet.download.{offer.model}",
            pair=theme.PRIMARY,
        )
        if self.state.sheet.over_budget == offer.release:
            yield Touch(
                words.t("Download all the same, over this month's budget"),
                lambda: self.presenter.models.download(offer, over_budget=True),
                key=f"sheet.over_budget.{offer.model}",
                pair=theme.WARNING,
            )

    def _card(self, card: ModelCard) -> Iterator[Widget]:
        words = self.words
        if card.accuracy is not None:
            value, low, high = (round(share * 100) for share in card.accuracy)
            text = words.t(
                "Right in {value} of 100 pictures of unseen patients, each finding counted alike (95 %: {low} to {high}).",
                value=value,
                low=low,
                high=high,
            )
            yield Text(text, size=theme.SMALL)
        if card.images is not None:
            text = words.t("Trained on {images} pictures", images=f"{card.images:,}")
            if card.groups is not None:
                text = words.t(
                    "Trained on {images} pictures of {groups} patients",
                    images=f"{card.images:,}",
                    groups=f"{card.groups:,}",
                )
            yield Text(text, size=theme.SMALL)
        yield Text(words.t("Knows: {labels}", labels=", ".join(card.labels)), size=theme.SMALL)
        made = words.t(
            "Made {day}; backbone {backbone} ({licence})",
            day=card.created,
            backbone=card.backbone,
            licence=card.licence,
        )
        yield Text(made, size=theme.SMALL, ink=theme.SOFT.ink)

    def update(self) -> None:
        """The download's figures."""
        going = self.state.sheet.download
        if going is None or self._bar is None or self._progress is None:
            return
        total = going.total or 1
        self._bar.set(going.done / total)
        text = self.words.t(
            "{done} of {total}", done=wording.size_text(going.done), total=wording.size_text(going.total)
        )
        if 0 < going.done < going.total and going.seconds > 1:
            left = (going.total - going.done) * going.seconds / going.done
            text += self.words.t(" · ") + self.words.t("{time} left", time=wording.duration(left, self.words))
        elif going.done >= going.total > 0:
            text = self.words.t("Checking and testing …")
        self._progress.text = text
