"""Columns, rows and cards that are as high as what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter

from kivy.clock import Clock
from kivy.effects.scroll import ScrollEffect
from kivy.graphics import Color, Line, Rectangle, RoundedRectangle
from kivy.metrics import dp
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget

from edge_node.ui import theme

_FIRST_S, _FRAME_S = 0.010, 0.006  # how long a frame may go on building a long page
_MOST_AT_ONCE = 2  # widgets a frame: laying them out comes on top


Inside = tuple[Widget, Widget]


def inside(container: Widget, widgets: Iterable[Widget]) -> Iterator[Widget | Inside]:
    """A container first, then its widgets one by one: for containers that take long to build."""
    yield container
    for widget in widgets:
        yield container, widget


def _narrow(options: dict[str, object]) -> dict[str, object]:
    """Start without a width, so that no text is broken before the real one is known."""
    return {"width": 1, **options}


class Column(BoxLayout):
    """Widgets below each other."""

    def __init__(self, *children: Widget, gap: float = theme.GAP, pad: float = 0, **options: object) -> None:
        super().__init__(
            orientation="vertical", spacing=dp(gap), padding=dp(pad), size_hint_y=None, height=0, **_narrow(options)
        )
        self.bind(minimum_height=self.setter("height"))
        for child in children:
            self.add_widget(child)


class Row(BoxLayout):
    """Widgets side by side; as high as the highest."""

    def __init__(self, *children: Widget, gap: float = theme.GAP, equal: bool = False, **options: object) -> None:
        """Args: equal: make all buttons as high as the highest."""
        super().__init__(orientation="horizontal", spacing=dp(gap), size_hint_y=None, **_narrow(options))
        self._equal = equal
        for child in children:
            self.add_widget(child)

    def add_widget(self, widget: Widget, *arguments: object, **options: object) -> None:
        """Add a widget and follow its height."""
        if widget.size_hint_y is None:
            widget.pos_hint = {"top": 1}
        super().add_widget(widget, *arguments, **options)
        widget.bind(height=self._fit)
        if self._equal:
            widget.bind(natural_height=self._fit)
        self._fit()

    def _fit(self, *_: object) -> None:
        if self._equal:
            highest = max((child.natural_height for child in self.children), default=0)
            for child in self.children:
                child.height = highest
        own = [child.height for child in self.children if child.size_hint_y is None]
        self.height = max(own, default=0)


class Card(Column):
    """A column on a ground of its own."""

    def __init__(
        self, *children: Widget, pair: theme.Pair = theme.SURFACE, edge: str | None = None, **options: object
    ) -> None:
        super().__init__(pad=theme.PAD, **options)
        with self.canvas.before:
            self._colour = Color(*theme.rgba(pair.ground))
            self._ground = RoundedRectangle(radius=[dp(theme.RADIUS)])
            if edge:
                Color(*theme.rgba(edge))
                self._edge = Rectangle()
            else:
                self._edge = None
        self.bind(pos=self._place, size=self._place)
        for child in children:
            self.add_widget(child)

    def _place(self, *_: object) -> None:
        self._ground.pos, self._ground.size = self.pos, self.size
        if self._edge is not None:
            self._edge.pos, self._edge.size = self.pos, (dp(6), self.height)


class Ground:
    """Mixed into a widget: a plain colour behind it."""

    def paint(self, colour: str) -> None:
        """Give it a colour."""
        with self.canvas.before:
            Color(*theme.rgba(colour))
            rectangle = Rectangle(pos=self.pos, size=self.size)
        self.bind(
            pos=lambda _, value: setattr(rectangle, "pos", value),
            size=lambda _, value: setattr(rectangle, "size", value),
        )


class Rule(Widget):
    """A thin line."""

    def __init__(self) -> None:
        super().__init__(size_hint_y=None, height=dp(1))
        with self.canvas:
            Color(*theme.rgba(theme.LINE))
            line = Line(width=1)
        self.bind(pos=lambda *_: setattr(line, "points", (self.x, self.y, self.right, self.y)))


class Scroller(ScrollView):
    """A column that scrolls, centred and never too wide; long ones are built over several frames."""

    def __init__(self, widest: float = theme.COLUMN, **options: object) -> None:
        super().__init__(
            do_scroll_x=False,
            effect_cls=ScrollEffect,
            bar_width=dp(8),
            scroll_type=["bars", "content"],
            bar_color=theme.rgba(theme.SOFT.ink),
            **options,
        )
        self._widest = dp(widest)
        self.column = Column()
        self.add_widget(self.column)
        self._coming: Iterator[Widget | Inside] | None = None
        self.bind(width=self._margins)
        self._margins()

    def _margins(self, *_: object) -> None:
        side = max(dp(theme.PAD), (self.width - self._widest) / 2)
        self.column.padding = (side, dp(theme.PAD), side, dp(theme.PAD))

    def on_touch_down(self, touch: object) -> bool:
        """What must not be scrolled away under the finger gets the touch before the list does."""
        if self.collide_point(*touch.pos):
            touch.push()
            touch.apply_transform_2d(self.to_local)
            taken = any(w.on_touch_down(touch) for w in self.column.walk(restrict=True) if getattr(w, "eager", False))
            touch.pop()
            if taken:
                return True
        return bool(super().on_touch_down(touch))

    def show(self, widget: Widget) -> None:
        """Scroll until a widget is in sight, and come to rest there."""
        room = self.column.height - self.height
        bottom = widget.y - self.column.y
        seen_from = max(room, 0) * self.scroll_y
        if room <= 0 or seen_from <= bottom <= bottom + widget.height <= seen_from + self.height:
            return
        wanted = bottom + widget.height / 2 - self.height / 2
        self.effect_y.velocity = 0
        self.scroll_y = min(max(wanted / room, 0), 1)
        self.effect_y.min, self.effect_y.max = -room, 0
        self.effect_y.value = -room * self.scroll_y

    @property
    def is_filling(self) -> bool:
        """Whether widgets are still to come."""
        return self._coming is not None

    def fill(self, widgets: Iterable[Widget | Inside], whole: Callable[[], None] = lambda: None) -> None:
        """Replace what is shown; where the page was scrolled to is kept.

        Args:
            widgets: for the column, or pairs of a container that came before and a widget for that.
            whole: called when all of them are there, which may take frames.
        """
        self.column.clear_widgets()
        self._coming, self._whole = iter(widgets), whole
        self._go_on(_FIRST_S)

    def _go_on(self, budget_s: float) -> None:
        start = perf_counter()
        for _ in range(_MOST_AT_ONCE):
            if self._coming is None or perf_counter() - start > budget_s:
                break
            widget = next(self._coming, None)
            if widget is None:
                self._coming = None
                self._whole()
            elif isinstance(widget, tuple):
                widget[0].add_widget(widget[1])
            else:
                self.column.add_widget(widget)
        if self._coming is not None:
            Clock.schedule_once(lambda _: self._go_on(_FRAME_S), 0)
