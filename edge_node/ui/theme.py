"""Colours and sizes, in one place. Sizes are density-independent pixels; text is readable at arm's length."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """A ground and the ink on it; every pair has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""

    ground: str
    ink: str


PAGE = Pair("#EDF1F4", "#12202B")
SURFACE = Pair("#FFFFFF", "#12202B")
SOFT = Pair("#FFFFFF", "#475863")
SOFT_ON_PAGE = Pair("#EDF1F4", "#475863")
PRIMARY = Pair("#0A5A78", "#FFFFFF")
PLAIN = Pair("#D5E3EA", "#0B3C50")
QUIET = Pair("#E3E9ED", "#5A6A75")
DANGER = Pair("#9B1C1C", "#FFFFFF")
RED_FLAGS = Pair("#FBE4E2", "#6E1010")
WARNING = Pair("#FFF0CF", "#573900")
BAR = Pair("#0B3C50", "#FFFFFF")
NOTICE = Pair("#12202B", "#FFFFFF")
# Four outcomes, equal in darkness so that none looks more certain than another.
TONES = {
    "recognised": Pair("#0A5A78", "#FFFFFF"),
    "unsure": Pair("#8A4B00", "#FFFFFF"),
    "foreign": Pair("#5B3A8C", "#FFFFFF"),
    "poor": Pair("#4A5760", "#FFFFFF"),
}
PAIRS = (
    PAGE,
    SURFACE,
    SOFT,
    SOFT_ON_PAGE,
    PRIMARY,
    PLAIN,
    QUIET,
    DANGER,
    RED_FLAGS,
    WARNING,
    BAR,
    NOTICE,
    *TONES.values(),
)
LINE = "#C3CED5"
FOCUS = "#D9480F"

TOUCH = 56  # least height and width of what a finger must hit (WCAG asks for 44)
HANDLE = 44  # reach of a crop handle around its corner
GAP = 12
PAD = 16
RADIUS = 10
COLUMN = 760  # text lines longer than this tire the reader
WIDE = 900  # from this window width on, picture and text stand side by side

NOTICE_TEXT = 15
SMALL = 17
BODY = 20
TITLE = 24
BIG = 28
SYMBOL = 44


def rgba(colour: str, alpha: float = 1.0) -> tuple[float, float, float, float]:
    """``#RRGGBB`` as OpenGL wants it."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, alpha


def contrast(pair: Pair) -> float:
    """The contrast ratio of WCAG 2.2, 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba(colour)[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dark = sorted((luminance(pair.ground), luminance(pair.ink)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
