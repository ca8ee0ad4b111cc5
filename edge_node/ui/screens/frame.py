"""What surrounds every screen: bar, failure, navigation and the notice that is never hidden; and the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kivy.clock import Clock
from kivy.core.window import Window
from kivy.metrics import dp
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.presenter.presenter import Presenter
from edge_node.ui.screens.check import CheckPage
from edge_node.ui.screens.device import DevicePage
from edge_node.ui.screens.history import HistoryPage
from edge_node.ui.screens.home import HomePage
from edge_node.ui.screens.join import JoinPage
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.pin import PinPage
from edge_node.ui.screens.reading import BrowserPage, DiseasePageView
from edge_node.ui.screens.result import ResultPage
from edge_node.ui.screens.screening import ScreeningPage
from edge_node.ui.screens.settings import SettingsPage
from edge_node.ui.screens.sheet import SheetPage
from edge_node.ui.screens.source import SourcePage
from edge_node.ui.screens.widgets.layout import Card, Column, Ground, Scroller
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Field, Focusable, Touch
from edge_node.ui.state import AppState, Screen
from edge_node.ui.texts import texts
from protocols.notice import NOTICE

_PAGES: dict[Screen, type[Page]] = {
    "home": HomePage,
    "join": JoinPage,
    "sheet": SheetPage,
    "source": SourcePage,
    "check": CheckPage,
    "result": ResultPage,
    "screening": ScreeningPage,
    "page": DiseasePageView,
    "browser": BrowserPage,
    "history": HistoryPage,
    "device": DevicePage,
    "settings": SettingsPage,
    "pin": PinPage,
}
_KEYS = {
    9: "tab",
    13: "enter",
    271: "enter",
    32: "space",
    27: "escape",
    276: "left",
    275: "right",
    273: "up",
    274: "down",
}


class Bar(Ground, BoxLayout):
    """A strip of buttons on a ground."""

    def __init__(self, colour: str, height: float) -> None:
        super().__init__(size_hint_y=None, height=dp(height), spacing=dp(6), padding=dp(6))
        self.paint(colour)


class Frame(Ground, BoxLayout):
    """The root widget: follows the presenter's state at most once a frame."""

    def __init__(self, presenter: Presenter) -> None:
        super().__init__(orientation="vertical")
        self.paint(theme.PAGE.ground)
        self.presenter = presenter
        self._pages: dict[Screen, Page] = {}
        self._focus: Focusable | None = None
        self._dressed: Any = None
        self._surrounded: Any = None
        self._placed: Any = None
        self._doomed: list[Page] = []
        self.rebuilt = 0  # pages so far; each leaves widgets behind that only a collection frees
        self._bar, self._failure = Bar(theme.BAR.ground, 68), Column()
        self._body = BoxLayout()
        self._navigation = Bar(theme.BAR.ground, 68)
        self._notice = Notice()
        for widget in (self._bar, self._failure, self._body, self._navigation, self._notice):
            self.add_widget(widget)
        self._soon = Clock.create_trigger(lambda _: self.refresh(), -1)
        presenter.board.listen(lambda _: self._soon())
        Window.bind(on_key_down=self._key, size=lambda *_: self._soon())
        self.refresh()

    def detach(self) -> None:
        """Let go of the window."""
        Window.unbind(on_key_down=self._key)

    @property
    def page(self) -> Page:
        """The screen on show."""
        return self._pages[self.presenter.state.screen]

    @property
    def is_filling(self) -> bool:
        """Whether a page is being built."""
        return any(page.scroller.is_filling for page in self._pages.values())

    @property
    def wide(self) -> bool:
        """Whether two columns fit."""
        return bool(Window.width >= dp(theme.WIDE))

    def refresh(self) -> None:
        """Bring the widgets up to the state."""
        state = self.presenter.state
        dressed = (state.language, self.wide)
        if self._dressed is None or self._dressed != dressed:
            self._drop(list(self._pages))
            self._dressed = dressed
        self._drop([screen for screen in self._pages if screen not in (state.screen, *state.route)])
        if state.screen not in self._pages:
            self._pages[state.screen] = _PAGES[state.screen](self.presenter, self.wide)
        page = self.page
        self.rebuilt += page.refresh()
        if self._body.children != [page]:
            self._body.clear_widgets()
            self._body.add_widget(page)
            self._focus_on(None)
        self._surround(state, page)

    def _drop(self, screens: list[Screen]) -> None:
        for screen in screens:
            page = self._pages.pop(screen)
            self._body.remove_widget(page)
            self._doomed.append(page)

    @property
    def is_tidy(self) -> bool:
        """Whether every page that was left has been taken apart."""
        return not self._doomed

    def discard_one(self) -> bool:
        """Take one page apart that is no longer needed; returns whether there was one. All at once would be felt."""
        if self._doomed:
            self._doomed.pop(0).discard()
            return True
        return False

    def _surround(self, state: AppState, page: Page) -> None:
        now = (state.screen, state.route, state.failure, state.language, state.locked, page.title(), state.pin.is_set)
        if now == self._surrounded:
            return
        self._surrounded = now
        words = texts(state.language)
        self._bar.clear_widgets()
        if len(state.route) > 1 and not state.locked:
            self._bar.add_widget(_small(words.t("Back"), self.presenter.back, "bar.back"))
        title = Text(page.title(), size=theme.TITLE, ink=theme.BAR.ink, size_hint_y=1, inset=6)
        self._bar.add_widget(title)
        other: Any = "en" if state.language == "zh" else "zh"
        name = "English" if other == "en" else "中文"
        self._bar.add_widget(_small(name, lambda: self.presenter.set_language(other), "bar.language"))
        self._failure.clear_widgets()
        if state.failure is not None:
            message, remedy = wording.failure(state.failure, words)
            close = Touch(words.t("Close"), self.presenter.dismiss, key="failure.close", size=theme.SMALL)
            self._failure.add_widget(
                Card(
                    Text(message, ink=theme.WARNING.ink),
                    Text(remedy, size=theme.SMALL, ink=theme.WARNING.ink),
                    close,
                    pair=theme.WARNING,
                )
            )
        self._notice.say(NOTICE[state.language])
        places = (state.locked, state.language, state.route[min(1, len(state.route) - 1)])
        if places == self._placed:
            return
        self._placed = places
        self._navigation.clear_widgets()
        if not state.locked:
            for key, text, action in self._places(words.t):
                chosen = state.route[min(1, len(state.route) - 1)] == key
                pair = theme.PLAIN if chosen else theme.BAR
                self._navigation.add_widget(Touch(text, action, key=f"nav.{key}", pair=pair, size=theme.SMALL))

    def _places(self, t: Callable[[str], str]) -> Iterator[tuple[str, str, Callable[[], None]]]:
        yield "home", t("Diseases"), self.presenter.home
        yield "browser", t("Look up"), self.presenter.reading.open
        yield "history", t("History"), self.presenter.past.open
        yield "device", t("Device"), self.presenter.device.open
        yield "settings", t("Settings"), self.presenter.device.open_settings

    def focusables(self) -> list[Focusable]:
        """What Tab goes through, from top to bottom."""
        return [w for w in _in_order(self) if isinstance(w, Focusable) and getattr(w, "usable", True)]

    def find(self, key: str) -> Focusable | None:
        """The widget of that name on the screen now."""
        return next((w for w in _in_order(self) if isinstance(w, Focusable) and w.key == key), None)

    def reveal(self, widget: Widget) -> None:
        """Scroll until it is in sight."""
        parent = widget.parent
        while parent is not None and parent is not self:
            if isinstance(parent, Scroller):
                parent.show(widget)
                return
            parent = parent.parent

    def _focus_on(self, widget: Focusable | None) -> None:
        if self._focus is not None:
            self._focus.focused = False
        self._focus = widget
        if widget is not None:
            widget.focused = True
            self.reveal(widget)

    def _step(self, by: int) -> None:
        found = self.focusables()
        if found:
            at = found.index(self._focus) + by if self._focus in found else (0 if by > 0 else -1)
            self._focus_on(found[at % len(found)])

    def _key(self, _: object, code: int, __: object, text: str | None, modifiers: list[str]) -> bool:
        """Tab, Enter, Space, Escape, digits for the PIN; other keys go to what is focused."""
        key = _KEYS.get(code, text or "")
        shift = "shift" in modifiers
        if key == "escape":
            self.presenter.back()
            return True
        if key == "tab":
            self._step(-1 if shift else 1)
            return True
        if isinstance(self._focus, Field) and self._focus.focus:
            return False
        if self.presenter.state.screen == "pin" and not self.presenter.state.pin.forgotten and self._pin(code, key):
            return True
        if self._focus is None:
            return False
        if self._focus.press(key, shift):
            return True
        if key in ("enter", "space"):
            self._focus.enter()
            return True
        return False

    def _pin(self, code: int, key: str) -> bool:
        digit = chr(code) if 48 <= code <= 57 else str(code - 256) if 256 <= code <= 265 else ""
        if digit:
            self.presenter.locking.digit(digit)
        elif code == 8:
            self.presenter.locking.erase()
        elif key == "enter" and (self._focus is None or not self._focus.key.startswith("pin.")):
            self.presenter.locking.enter()
        else:
            return False
        return True


class Notice(Ground, BoxLayout):
    """Research use only: always there, as high as its words."""

    def __init__(self) -> None:
        super().__init__(size_hint_y=None)
        self.paint(theme.NOTICE.ground)
        self._words = Text("", size=theme.NOTICE_TEXT, ink=theme.NOTICE.ink, align="center", inset=6)
        self._words.bind(height=self.setter("height"))
        self.add_widget(self._words)

    def say(self, text: str) -> None:
        """In this language."""
        self._words.text = text


def _small(text: str, action: Callable[[], None], key: str) -> Touch:
    return Touch(text, action, key=key, size=theme.SMALL, size_hint_x=None, width=dp(96))


def _in_order(widget: Widget) -> Iterator[Widget]:
    """Every widget, in reading order."""
    yield widget
    for child in reversed(widget.children):
        yield from _in_order(child)
