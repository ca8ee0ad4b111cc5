"""Joining a coordinator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.core.clipboard import Clipboard
from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Column
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Field, Touch


class JoinPage(Page):
    """Paste the invite, or show its QR code's picture."""

    def title(self) -> str:
        """What it is for."""
        return self.words.t("Join a coordinator")

    def head(self) -> Iterator[Widget]:
        """The field, which must survive rebuilding."""
        self._field = Field(
            self.words.t("Invite (starts with medmesh1.)"),
            self.presenter.joining.type,
            key="join.text",
            text=self.state.join.text,
            on_enter=self.presenter.joining.join,
        )
        yield Column(
            Text(self.words.t("The coordinator gives you an invite: one line of text, or a QR code.")), self._field
        )

    def depends(self) -> Any:
        """Everything but the text."""
        join = self.state.join
        return bool(join.text.strip()), join.busy, join.joined, self.state.language

    def build(self) -> Iterator[Widget]:
        """Ways to fill the field, and the button."""
        join, words = self.state.join, self.words
        if join.joined is not None:
            yield Card(
                Text(words.t("Joined: {coordinator}", coordinator=join.joined.coordinator), size=theme.TITLE),
                Text(words.t("This device is called {name} there.", name=join.joined.name)),
            )
            yield Touch(words.t("To the diseases"), self.presenter.home, key="join.done", pair=theme.PRIMARY)
            return
        yield Touch(words.t("Paste"), self._paste, key="join.paste")
        yield Touch(words.t("From a picture of the QR code"), self.presenter.capture.begin_invite, key="join.code")
        ready = bool(join.text.strip()) and not join.busy
        yield Touch(
            words.t("Joining …") if join.busy else words.t("Join"),
            self.presenter.joining.join if ready else None,
            key="join.join",
            pair=theme.PRIMARY,
        )
        yield self.note(words.t("An invite works once. Joining again replaces the former coordinator; models stay."))

    def _paste(self) -> None:
        self.presenter.joining.type(str(Clipboard.paste() or "").strip())

    def update(self) -> None:
        """Text that came from a QR code or the clipboard."""
        if self._field.text != self.state.join.text:
            self._field.text = self.state.join.text
