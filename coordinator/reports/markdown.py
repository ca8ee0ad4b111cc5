"""A report as Markdown (GitHub's tables), without pictures."""

from __future__ import annotations

import re

from coordinator.reports.document import (
    Alert,
    Block,
    Bullets,
    Cell,
    Document,
    Facts,
    Gallery,
    Paragraph,
    Plot,
    Table,
    text,
)
from protocols.errors import Language
from protocols.notice import NOTICE

_SPECIAL = re.compile(r"([\\`*\[\]<>|#]|(?<!\w)_|_(?!\w))")


def render(document: Document, language: Language) -> str:
    """The document in one language, the notice in both."""
    lines = [f"# {escape(document.title.of(language))}", "", *(f"**{NOTICE[x]}**  " for x in ("en", "zh")), ""]
    for alert in document.alerts:
        lines += _block(alert, language)
    for section in document.sections:
        lines += [f"## {escape(section.title.of(language))}", ""]
        for block in section.blocks:
            lines += _block(block, language)
    return "\n".join(lines).rstrip() + "\n"


def escape(content: str) -> str:
    """Text that stands for itself."""
    return _SPECIAL.sub(r"\\\1", " ".join(content.split()))


def _block(block: Block, language: Language) -> list[str]:
    def shown(cell: Cell) -> str:
        return escape(text(cell, language))

    match block:
        case Paragraph(content):
            return [shown(content), ""]
        case Alert(content, grave):
            return [f"> **{'⛔' if grave else '⚠'} {shown(content)}**", ""]
        case Bullets(items):
            return [*(f"* {shown(item)}" for item in items), ""]
        case Facts(rows):
            colon = "：" if language == "zh" else ": "
            return [*(f"* {shown(name)}{colon}{shown(what)}" for name, what in rows), ""]
        case Table(headings, rows):
            line = [f"| {' | '.join(shown(c) for c in row)} |" for row in (headings, *rows)]
            return [line[0], f"|{'---|' * len(headings)}", *line[1:], ""]
        case Gallery(pictures):
            return [*(f"* {shown(picture.caption)}" for picture in pictures), ""]
        case Plot(_, caption, instead):
            return [] if instead is None else [shown(caption), "", *_block(instead, language)]
