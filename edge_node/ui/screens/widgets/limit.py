"""A limit chosen among few: two buttons a row, the present one marked even where it is none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_node.ui import theme, wording
from edge_node.ui.screens.widgets.layout import Column, Row
from edge_node.ui.screens.widgets.touch import Touch
from edge_node.ui.texts import Texts

_IN_A_ROW = 2


class Limit(Column):
    """``choose`` is called with the chosen figure; 0 is no limit."""

    def __init__(
        self, now: int, choices: Sequence[int], unit: str, choose: Callable[[int], None], key: str, words: Texts
    ) -> None:
        offered = sorted({*choices, now})
        buttons = [
            Touch(
                wording.limit_text(figure, unit, words),
                lambda figure=figure: choose(figure),
                key=f"{key}.{figure}",
                pair=theme.PRIMARY if figure == now else theme.PLAIN,
                size=theme.SMALL,
            )
            for figure in offered
        ]
        rows = (buttons[at : at + _IN_A_ROW] for at in range(0, len(buttons), _IN_A_ROW))
        super().__init__(*(Row(*row, equal=True) for row in rows))
