"""One line of a list, with the dash hanging beside it."""

from __future__ import annotations

from kivy.metrics import dp

from edge_node.ui import theme
from edge_node.ui.screens.widgets.layout import Row
from edge_node.ui.screens.widgets.text import Text


class Bullet(Row):
    """A dash, and words that stay clear of it."""

    def __init__(self, text: str, *, size: float = theme.BODY, ink: str = theme.SURFACE.ink) -> None:
        dash = Text("–", size=size, ink=ink, size_hint_x=None, width=dp(size))
        super().__init__(dash, Text(text, size=size, ink=ink), gap=2)
