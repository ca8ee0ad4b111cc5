"""A slider and a bar of progress."""

from __future__ import annotations

from collections.abc import Callable

from kivy.graphics import Color, RoundedRectangle
from kivy.metrics import dp
from kivy.uix.slider import Slider
from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.screens.widgets.touch import Focusable

_STEP = 10


class Level(Focusable, Slider):
    """0 to 100, by finger or with the left and right arrows."""

    eager = True

    def __init__(self, value: float, on_value: Callable[[float], None], *, key: str) -> None:
        super().__init__(
            min=0,
            max=100,
            value=value,
            step=1,
            size_hint_y=None,
            height=dp(theme.TOUCH),
            value_track=True,
            value_track_color=theme.rgba(theme.PRIMARY.ground),
            cursor_size=(dp(36), dp(36)),
        )
        self.key = key
        self.bind(value=lambda _, value: on_value(value))
        self.ring()

    def press(self, key: str, shift: bool) -> bool:
        """Left and right."""
        if key not in ("left", "right"):
            return False
        self.move(_STEP if key == "right" else -_STEP)
        return True

    def move(self, by: float) -> None:
        """So much up or down."""
        self.value = min(max(float(self.value) + by, 0), 100)


class Bar(Widget):
    """A share as a bar."""

    def __init__(self, share: float, colour: str = theme.PRIMARY.ground, height: float = 14) -> None:
        super().__init__(size_hint_y=None, height=dp(height))
        self._share = share
        with self.canvas:
            Color(*theme.rgba(theme.PLAIN.ground))
            self._all = RoundedRectangle(radius=[dp(height / 2)])
            Color(*theme.rgba(colour))
            self._part = RoundedRectangle(radius=[dp(height / 2)])
        self.bind(pos=self._place, size=self._place)

    def set(self, share: float) -> None:
        """Another share."""
        self._share = share
        self._place()

    def _place(self, *_: object) -> None:
        self._all.pos, self._all.size = self.pos, self.size
        wide = max(min(self._share, 1.0) * self.width, self.height if self._share > 0 else 0)
        self._part.pos, self._part.size = self.pos, (wide, self.height)
