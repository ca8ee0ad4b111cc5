"""What can be tapped or chosen with the keyboard."""

from __future__ import annotations

from collections.abc import Callable

from kivy.graphics import Color, Line, RoundedRectangle
from kivy.metrics import dp
from kivy.properties import BooleanProperty, NumericProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.screens.widgets.text import FAMILY, Text


class Focusable:
    """Can be reached with Tab. ``key`` names it, for tests and for finding it again after a rebuild."""

    key = ""
    eager = False  # whether it takes a drag for itself that would otherwise scroll the list around it
    focused = BooleanProperty(False)

    def enter(self) -> None:
        """What Enter does."""

    def press(self, key: str, shift: bool) -> bool:
        """Another key while it is focused; returns whether it meant something here."""
        return False

    def ring(self) -> None:
        """Draw a ring while it is focused."""
        with self.canvas.after:
            colour = Color(*theme.rgba(theme.FOCUS, 0))
            line = Line(width=dp(2))

        def place(*_: object) -> None:
            line.rounded_rectangle = (self.x + 2, self.y + 2, self.width - 4, self.height - 4, dp(theme.RADIUS))

        self.bind(pos=place, size=place, focused=lambda _, on: setattr(colour, "a", 1 if on else 0))


class Touch(Focusable, ButtonBehavior, Widget):
    """A button, at least as big as a finger, as high as its words."""

    natural_height = NumericProperty(theme.TOUCH)

    def __init__(
        self,
        text: str,
        on_tap: Callable[[], None] | None,
        *,
        key: str,
        pair: theme.Pair = theme.PLAIN,
        size: float = theme.BODY,
        detail: str = "",
        align: str = "center",
        **options: object,
    ) -> None:
        """Args: on_tap: None makes it a button that cannot be used now; detail: a smaller second line."""
        options.setdefault("width", 1)
        super().__init__(size_hint_y=None, **options)
        self.key = key
        self._on_tap = on_tap
        pair = pair if on_tap else theme.QUIET
        with self.canvas.before:
            self._colour = Color(*theme.rgba(pair.ground))
            self._ground = RoundedRectangle(radius=[dp(theme.RADIUS)])
        self._words = [Text(text, size=size, ink=pair.ink, align=align)]
        if detail:
            self._words.append(Text(detail, size=theme.SMALL, ink=pair.ink, align=align))
        for words in self._words:
            self.add_widget(words)
            words.bind(height=self._fit)
        self.always_release = True
        self.ring()
        self.bind(pos=self._place, size=self._place, state=self._shade)
        self._fit()

    @property
    def text(self) -> str:
        """The first line."""
        return self._words[0].text

    @text.setter
    def text(self, text: str) -> None:
        self._words[0].text = text

    @property
    def usable(self) -> bool:
        """Whether tapping does anything."""
        return self._on_tap is not None

    def on_touch_down(self, touch: object) -> bool:
        """A quick tap reaches what lies in a list only after the finger has gone: then it acts at once."""
        if touch.time_end > 0 and self.collide_point(*touch.pos):
            self.enter()
            return True
        return bool(super().on_touch_down(touch))

    def on_release(self) -> None:
        """Tapped: only where the finger is still on it."""
        if self.last_touch is None or self.collide_point(*self.last_touch.pos):
            self.enter()

    def enter(self) -> None:
        """Do it."""
        if self._on_tap is not None:
            self._on_tap()

    def _fit(self, *_: object) -> None:
        self.natural_height = self.height = max(dp(theme.TOUCH), sum(words.height for words in self._words) + dp(2 * 9))
        self._place()

    def _place(self, *_: object) -> None:
        self._ground.pos, self._ground.size = self.pos, self.size
        inset = dp(10)
        for words in self._words:
            words.width = max(self.width - 2 * inset, 1)
            words.x = self.x + inset
        top = self.y + self.height / 2 + sum(words.height for words in self._words) / 2
        for words in self._words:
            top -= words.height
            words.y = top

    def _shade(self, _: object, state: str) -> None:
        self._colour.a = 0.75 if state == "down" else 1


class Field(Focusable, TextInput):
    """One line to write in."""

    def __init__(
        self,
        hint: str,
        on_text: Callable[[str], None],
        *,
        key: str,
        text: str = "",
        on_enter: Callable[[], None] | None = None,
        multiline: bool = False,
    ) -> None:
        super().__init__(
            text=text,
            hint_text=hint,
            multiline=multiline,
            write_tab=False,
            font_name=FAMILY,
            font_size=f"{theme.BODY}sp",
            size_hint_y=None,
            height=dp(theme.TOUCH if not multiline else 120),
            padding=[dp(14), dp(15), dp(14), dp(10)],
            background_normal="",
            background_active="",
            background_color=theme.rgba(theme.SURFACE.ground),
            foreground_color=theme.rgba(theme.SURFACE.ink),
            hint_text_color=theme.rgba(theme.SOFT.ink),
            cursor_color=theme.rgba(theme.PRIMARY.ground),
        )
        self.key = key
        self._on_enter = on_enter
        self.bind(text=lambda _, value: on_text(value), on_text_validate=lambda _: on_enter and on_enter())
        with self.canvas.after:
            Color(*theme.rgba(theme.SOFT.ink))
            edge = Line(width=1)
        self.bind(
            pos=lambda *_: setattr(edge, "rounded_rectangle", (*self.pos, *self.size, dp(4))),
            size=lambda *_: setattr(edge, "rounded_rectangle", (*self.pos, *self.size, dp(4))),
            focused=lambda _, on: setattr(self, "focus", on),
        )
        self.ring()

    def keyboard_on_key_down(self, window: object, keycode: tuple[int, str], text: str, modifiers: list[str]) -> bool:
        """Leave Tab and Escape to the app."""
        if keycode[1] in ("tab", "escape"):
            return False
        return bool(super().keyboard_on_key_down(window, keycode, text, modifiers))


class Holder(FloatLayout):
    """Keeps one widget of a fixed size in the middle of whatever room there is."""

    def __init__(self, widget: Widget, height: float) -> None:
        super().__init__(size_hint_y=None, height=height)
        widget.pos_hint = {"center_x": 0.5, "center_y": 0.5}
        self.add_widget(widget)
