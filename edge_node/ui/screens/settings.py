"""Settings: language, PIN, and what the node may do by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Row
from edge_node.ui.screens.widgets.limit import Limit
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch
from edge_node.ui.texts import mark

_THREADS = ("1", "2", "4")
_WINDOWS = ("", "20:00-06:00", "22:00-06:00", "00:00-05:00")
_LIMITS: tuple[tuple[str, str, str, tuple[int, ...]], ...] = (  # setting, title, unit, choices
    ("wan_kbps", mark("Speed from the coordinator, at most"), "kbit/s", (0, 64, 256, 1024)),
    ("lan_kbps", mark("Speed to and from other nodes, at most"), "kbit/s", (0, 1000, 4000, 16_000)),
    ("monthly_mb", mark("Data from the coordinator in a month, at most"), "MB", (0, 100, 500, 2000)),
)


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
            yield self._switch(
                "auto_update",
                words.t("New versions of models in use"),
                words.t("The background service fetches them by itself when this is on."),
            )
        if "metered" in values:
            yield self._switch(
                "metered",
                words.t("The line costs by the byte"),
                words.t("When this is on, nothing big is fetched unless you ask for it."),
            )
        for key, title, unit, choices in _LIMITS:
            if key in values:
                now = round(float(values[key]))
                yield Card(
                    Text(words.t(title), size=theme.TITLE),
                    Limit(
                        now,
                        choices,
                        unit,
                        lambda n, key=key: presenter.device.set(key, str(n)),
                        f"settings.{key}",
                        words,
                    ),
                )
        if "window" in values:
            yield self._window(values["window"])
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

    def _window(self, now: str) -> Widget:
        words = self.words
        buttons = [
            Touch(
                hours or words.t("At any time"),
                lambda hours=hours: self.presenter.device.set("window", hours),
                key=f"settings.window.{hours}",
                pair=theme.PRIMARY if hours == now else theme.PLAIN,
                size=theme.SMALL,
            )
            for hours in dict.fromkeys((*_WINDOWS, now))
        ]
        return Card(
            Text(words.t("When the background service may fetch models"), size=theme.TITLE),
            Text(words.t("What you ask for yourself is fetched at once."), size=theme.SMALL),
            *(Row(*buttons[at : at + 2], equal=True) for at in range(0, len(buttons), 2)),
        )

    def _switch(self, key: str, title: str, text: str) -> Widget:
        words, on = self.words, dict(self.state.device.settings)[key] == "true"
        return Card(
            Text(title, size=theme.TITLE),
            Text(text, size=theme.SMALL),
            Touch(
                words.t("On: tap to switch off") if on else words.t("Off: tap to switch on"),
                lambda: self.presenter.device.set(key, "false" if on else "true"),
                key=f"settings.{key}",
                pair=theme.PRIMARY if on else theme.PLAIN,
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
