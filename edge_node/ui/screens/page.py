"""What every screen is: a title, an optional fixed head and foot, and a column that follows the state."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from typing import Any

from kivy.metrics import dp
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget, WidgetMetaclass

from edge_node.ui import theme
from edge_node.ui.presenter.presenter import Presenter
from edge_node.ui.screens.widgets.layout import Card, Column, Inside, Scroller
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.state import AppState
from edge_node.ui.texts import Texts, texts

_NOTHING = object()


class _AbstractWidget(WidgetMetaclass, ABCMeta):
    """Lets a widget have abstract methods."""


class Page(BoxLayout, metaclass=_AbstractWidget):
    """A screen. Subclasses say what they depend on and yield widgets; they never keep state of their own."""

    widest = theme.COLUMN

    def __init__(self, presenter: Presenter, wide: bool) -> None:
        super().__init__(orientation="vertical")
        self.presenter = presenter
        self.wide = wide
        self._shown: Any = _NOTHING
        self.scroller = Scroller(self.widest)
        for widget in self.head():
            self.add_widget(self._beside(widget))
        self.add_widget(self.scroller)
        for widget in self.foot():
            self.add_widget(self._beside(widget))

    def _beside(self, widget: Widget) -> Column:
        """The margins of the column, for what does not scroll."""
        holder = Column(widget)

        def margins(*_: object) -> None:
            side = max(dp(theme.PAD), (self.width - dp(self.widest)) / 2)
            holder.padding = (side, dp(8), side, dp(8))

        self.bind(width=margins)
        margins()
        return holder

    @property
    def state(self) -> AppState:
        """The presenter's state."""
        return self.presenter.state

    @property
    def words(self) -> Texts:
        """The user's language."""
        return texts(self.state.language)

    @abstractmethod
    def title(self) -> str:
        """What stands in the bar above."""

    def head(self) -> Iterator[Widget]:
        """What stays above the column; made once."""
        return iter(())

    def foot(self) -> Iterator[Widget]:
        """What stays below the column; made once."""
        return iter(())

    @abstractmethod
    def depends(self) -> Any:
        """The part of the state that the column shows."""

    @abstractmethod
    def build(self) -> Iterator[Widget | Inside]:
        """The column, from top to bottom."""

    def update(self) -> None:
        """Small changes that need no rebuilding; part of the column may not be there yet."""

    def refresh(self) -> bool:
        """Follow the state; returns whether the column was built anew."""
        now = self.depends()
        stale = self._shown is _NOTHING or bool(now != self._shown)
        if stale:
            self._shown = now
            self.scroller.fill(self.build(), self.update)
        self.update()
        return stale

    def discard(self) -> None:
        """Take everything apart: Kivy keeps text fields that were once on the screen, and with them all that hangs on them."""
        self.scroller.fill(())
        for widget in list(self.walk(restrict=True)):
            if not isinstance(widget, Scroller):
                widget.clear_widgets()

    def note(self, text: str, *, warning: bool = False) -> Widget:
        """A quiet line, or a warning in a box of its own."""
        if warning:
            return Card(Text(text, ink=theme.WARNING.ink), pair=theme.WARNING)
        return Text(text, size=theme.SMALL, ink=theme.SOFT_ON_PAGE.ink)

    def heading(self, text: str) -> Text:
        """A heading in the column."""
        return Text(text, size=theme.TITLE)
