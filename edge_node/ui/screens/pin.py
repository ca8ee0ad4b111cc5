"""The PIN pad: unlocking, and choosing a new PIN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Row
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch

_ROWS = ("123", "456", "789")


class PinPage(Page):
    """Ten digits; the keyboard's work too."""

    widest = 440
    _dots: Text | None = None

    def title(self) -> str:
        """What the PIN is for."""
        return self.words.t("Locked") if self.state.locked else self.words.t("New PIN")

    def depends(self) -> Any:
        """The mode."""
        pin = self.state.pin
        return pin.mode, pin.checking, pin.forgotten, self.state.locked, self.state.language

    def build(self) -> Iterator[Widget]:
        """Dots, digits, and the way out for who forgot."""
        pin, words, locking = self.state.pin, self.words, self.presenter.locking
        if pin.forgotten:
            yield from self._forgotten()
            return
        asked = {
            "unlock": words.t("Enter your PIN"),
            "set": words.t("Choose a PIN"),
            "repeat": words.t("The same PIN again"),
        }
        yield Text(asked[pin.mode], size=theme.TITLE, align="center")
        self._dots = Text("", size=theme.BIG, align="center")
        yield self._dots
        for row in _ROWS:
            yield Row(*(self._digit(digit) for digit in row))
        yield Row(
            Touch(words.t("Erase"), locking.erase, key="pin.erase", size=theme.SMALL),
            self._digit("0"),
            Touch("OK", None if pin.checking else locking.enter, key="pin.enter", pair=theme.PRIMARY, size=theme.TITLE),
        )
        if self.state.locked:
            yield Touch(
                words.t("Forgotten?"), lambda: locking.forgotten(yes=True), key="pin.forgotten", size=theme.SMALL
            )

    def _digit(self, digit: str) -> Touch:
        return Touch(digit, lambda: self.presenter.locking.digit(digit), key=f"pin.{digit}", size=theme.BIG)

    def _forgotten(self) -> Iterator[Widget]:
        words, locking = self.words, self.presenter.locking
        yield Card(
            Text(words.t("A forgotten PIN cannot be recovered."), size=theme.TITLE),
            Text(
                words.t(
                    "If you start afresh, the case references stay here, encrypted; without the PIN nobody can read them."
                )
            ),
            Text(words.t("Models stay. The device must join its coordinator again: ask for a new invite.")),
        )
        yield Touch(
            words.t("Back to the PIN"), lambda: locking.forgotten(yes=False), key="pin.back", pair=theme.PRIMARY
        )
        yield Touch(words.t("Start afresh"), locking.start_afresh, key="pin.afresh", pair=theme.DANGER)

    def update(self) -> None:
        """One dot a digit."""
        pin = self.state.pin
        if self._dots is not None and not pin.forgotten:
            self._dots.text = self.words.t("Checking …") if pin.checking else "●" * pin.typed or "–"
