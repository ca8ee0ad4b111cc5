"""What a report consists of, before it becomes Markdown or HTML. A text is in both languages or it is data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from coordinator.training.metrics import Interval
from protocols.errors import Language


@dataclass(frozen=True)
class Words:
    """One text in both languages."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        """The text of one language."""
        return self.zh if language == "zh" else self.en


Cell = Words | str  # a plain string is data: a label, a digest, a figure
NONE = "—"


def text(cell: Cell, language: Language) -> str:
    """What stands there in one language."""
    return cell if isinstance(cell, str) else cell.of(language)


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    content: Cell


@dataclass(frozen=True)
class Alert:
    """What nobody may overlook; ``grave`` where the model or the figures are of no use."""

    content: Cell
    grave: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[Cell, ...]


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and what is so named."""

    rows: tuple[tuple[Words, Cell], ...]


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row."""

    headings: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Plot:
    """A picture, drawn only where it is shown, with the table that says the same where there are no pictures."""

    draw: Callable[[Language], str]  # an SVG element
    caption: Words
    instead: Table | None = None


@dataclass(frozen=True)
class Thumbnail:
    """A small picture as JPEG; None where it is not there any more."""

    jpeg: bytes | None
    caption: Cell


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side; where there are no pictures, their captions."""

    pictures: tuple[Thumbnail, ...]


Block = Paragraph | Alert | Bullets | Facts | Table | Plot | Gallery


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    title: Words
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report; alerts stand before everything else, below the notice of research use."""

    title: Words
    alerts: tuple[Alert, ...]
    sections: tuple[Section, ...]


def figure(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where it is not defined."""
    return NONE if value is None else f"{value:.{digits}f}"


def interval(found: Interval | None) -> Cell:
    """A figure with its interval, as far as they are defined."""
    if found is None:
        return NONE
    if found.low is None or found.high is None:
        return figure(found.value)
    return Words(
        f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})",
        f"{found.value:.3f}（{found.low:.3f}–{found.high:.3f}）",
    )


def moment(time: str) -> str:
    """An ISO 8601 time as people read it, to the minute; as it is, where it is none."""
    try:
        return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return time


def joined(parts: Iterable[str]) -> Words:
    """A list of data in running text."""
    items = list(parts)
    return Words(", ".join(items), "、".join(items))
