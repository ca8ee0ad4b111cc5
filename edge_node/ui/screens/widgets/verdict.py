"""The outcome. All four look alike but for symbol, colour and words: none is a lesser answer."""

from __future__ import annotations

from kivy.graphics import Color, RoundedRectangle
from kivy.metrics import dp
from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.widgets.bullet import Bullet
from edge_node.ui.screens.widgets.layout import Card, Column, Row
from edge_node.ui.screens.widgets.text import Text

SYMBOL_EDGE = 76


class Symbol(Widget):
    """One character on a ground of its own."""

    def __init__(self, character: str, pair: theme.Pair, edge: float = SYMBOL_EDGE) -> None:
        super().__init__(size_hint=(None, None), size=(dp(edge), dp(edge)))
        with self.canvas.before:
            Color(*theme.rgba(pair.ground))
            self._ground = RoundedRectangle(radius=[dp(theme.RADIUS)])
        self._words = Text(
            character, size=theme.SYMBOL * edge / SYMBOL_EDGE, ink=pair.ink, align="center", size_hint_y=1
        )
        self.add_widget(self._words)
        self.bind(pos=self._place, size=self._place)
        self._place()

    def _place(self, *_: object) -> None:
        self._ground.pos, self._ground.size = self.pos, self.size
        self._words.pos, self._words.size = self.pos, self.size


class VerdictCard(Card):
    """Symbol, heading, sentence, reasons."""

    def __init__(self, verdict: wording.Verdict, reasons: list[str]) -> None:
        pair = theme.TONES[verdict.tone]
        heading = Text(verdict.heading, size=theme.BIG, ink=pair.ground)
        said = Column(heading, Text(verdict.sentence), gap=6)
        super().__init__(Row(Symbol(verdict.symbol, pair), said), edge=pair.ground)
        for reason in reasons:
            self.add_widget(Bullet(reason))
