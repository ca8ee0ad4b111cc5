"""Text that breaks its own lines and is exactly as high as it needs to be."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kivy.core.text import Label as CoreLabel
from kivy.core.text import LabelBase
from kivy.graphics import Color, Rectangle
from kivy.metrics import dp, sp
from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.wrapping import wrap

FAMILY = "MedMeshSans"
FONT = Path(__file__).parents[2] / "fonts" / "MedMeshSans.ttf"
LabelBase.register(FAMILY, str(FONT))
_LINE_HEIGHT = 1.12


@cache
def _advance(character: str, size: float) -> float:
    """Width of one character, in pixels. Ideographs are as wide as the font is high, which need not be measured."""
    if "一" <= character <= "\u9fff":
        return size
    return float(CoreLabel(font_name=FAMILY, font_size=size).get_extents(character)[0])


class Text(Widget):
    """Words on the screen. The width comes from the layout, the height from the words."""

    def __init__(
        self,
        text: str = "",
        *,
        size: float = theme.BODY,
        ink: str = theme.SURFACE.ink,
        align: str = "left",
        inset: float = 0,
        **options: object,
    ) -> None:
        """Args: inset: room left on all sides, in dp."""
        options.setdefault("width", 1)  # nothing is drawn before the layout has given a real width
        super().__init__(size_hint_y=options.pop("size_hint_y", None), **options)
        self._text, self._size, self._align, self._inset = text, size, align, dp(inset)
        self._drawn: tuple[str, int] | None = None
        with self.canvas:
            self._colour = Color(*theme.rgba(ink))
            self._rectangle = Rectangle(size=(0, 0))
        self.bind(width=self._draw, pos=self._place, height=self._place)
        self.height = sp(size) * 1.4 + 2 * self._inset
        self._draw()

    @property
    def text(self) -> str:
        """The words."""
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self._draw()

    def set_ink(self, ink: str) -> None:
        """Change the colour."""
        self._colour.rgba = theme.rgba(ink)

    @property
    def lines(self) -> list[str]:
        """The words as they are broken now."""
        size = sp(self._size)
        return wrap(self._text, max(self.width - 2 * self._inset - 1, size), lambda c: _advance(c, size))

    def natural_width(self) -> float:
        """The width at which nothing has to be broken."""
        size = sp(self._size)
        return (
            max((sum(_advance(c, size) for c in line) for line in self._text.split("\n")), default=0)
            + 2 * self._inset
            + 3
        )

    def _draw(self, *_: object) -> None:
        if self.width <= 2 * self._inset + sp(self._size) / 2 or (self._text, int(self.width)) == self._drawn:
            return
        self._drawn = (self._text, int(self.width))
        label = CoreLabel(
            text="\n".join(self.lines),
            font_name=FAMILY,
            font_size=sp(self._size),
            halign=self._align,
            line_height=_LINE_HEIGHT,
            color=(1, 1, 1, 1),
        )
        label.refresh()
        self._rectangle.texture = label.texture
        self._rectangle.size = label.texture.size if self._text else (0, 0)
        if self.size_hint_y is None:
            self.height = label.texture.height + 2 * self._inset
        self._place()

    def _place(self, *_: object) -> None:
        wide, high = self._rectangle.size
        room = self.width - wide
        offset = {"left": self._inset, "center": room / 2, "right": room - self._inset}[self._align]
        self._rectangle.pos = (round(self.x + offset), round(self.y + (self.height - high) / 2))
