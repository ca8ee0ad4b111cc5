"""Settings: language, PIN, and what the node may do by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Row
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch

_THREADS = ("1", "2", "4")


class SettingsPage(Page):
    """Few, and each explained."""

    def title(self) -> str:
        """What it is."""
        return self.words.t("Settings")

    def depends(self) -> Any:
        """Values, PIN, language."""
        return self.state.device.settings, self.state.pin.is_set, self.state.language

    def build(self) -> Iterator[Widget]:
        """Cards by topic."""
        words, presenter = self.words, self.presenter
        yield Card(
            Text("语言 · Language", size=theme.TITLE),
            Row(
                *(
                    Touch(
                        name,
                        lambda code=code: presenter.set_language(code),
                        key=f"settings.language.{code}",
                        pair=theme.PRIMARY if self.state.language == code else theme.PLAIN,
                    )
                    for code, name in (("zh", "中文"), ("en", "English"))
                )
            ),
        )
        yield self._pin()
        values = dict(self.state.device.settings)
        if "auto_update" in values:
            on = values["auto_update"] == "true"
            yield Card(
                Text(words.t("New versions of models in use"), size=theme.TITLE),
                Text(words.t("The background service fetches them by itself when this is on."), size=theme.SMALL),
                Touch(
                    words.t("On: tap to switch off") if on else words.t("Off: tap to switch on"),
                    lambda: presenter.device.set("auto_update", "false" if on else "true"),
                    key="settings.auto_update",
                    pair=theme.PRIMARY if on else theme.PLAIN,
                ),
            )
        if "threads" in values:
            yield Card(
                Text(words.t("Processor cores for one picture"), size=theme.TITLE),
                Text(words.t("Counts from the next start of the app on."), size=theme.SMALL),
                Row(
                    *(
                        Touch(
                            count,
                            lambda count=count: presenter.device.set("threads", count),
                            key=f"settings.threads.{count}",
                            pair=theme.PRIMARY if values["threads"] == count else theme.PLAIN,
                        )
                        for count in _THREADS
                    )
                ),
            )

    def _pin(self) -> Widget:
        words, locking = self.words, self.presenter.locking
        parts: list[Widget] = [Text(words.t("PIN lock"), size=theme.TITLE)]
        if self.state.pin.is_set:
            parts.append(Touch(words.t("Lock now"), locking.lock, key="settings.lock", pair=theme.PRIMARY))
            parts.append(Touch(words.t("Change the PIN"), locking.choose_new, key="settings.pin"))
            parts.append(Touch(words.t("Do without a PIN"), locking.remove, key="settings.no_pin", size=theme.SMALL))
        else:
            parts.append(
                Text(words.t("Case references are encrypted; a PIN keeps their key from others."), size=theme.SMALL)
            )
            parts.append(Touch(words.t("Set a PIN"), locking.choose_new, key="settings.pin"))
        return Card(*parts)
