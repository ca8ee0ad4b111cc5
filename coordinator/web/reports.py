"""Reports and cards inside a page: the same documents as the files that commands write."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from coordinator.reports.document import Cell, Document, Plot, text
from protocols.errors import Language

_STYLED = re.compile(r'\sstyle="([^"]*)"')


def shown(document: Document, language: Language) -> dict[str, Any]:
    """What the template's macros need to show a document in one language."""

    def said(cell: Cell) -> str:
        return text(cell, language)

    def drawn(plot: Plot) -> Markup:
        return Markup(attributed(plot.draw(language)))

    return {"document": document, "said": said, "drawn": drawn}


def attributed(svg: str) -> str:
    """The same drawing with attributes in the place of inline styles, which a page's policy forbids. Pure."""

    def attributes(found: re.Match[str]) -> str:
        pairs = (part.split(":", 1) for part in found[1].split(";") if ":" in part)
        return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)

    return _STYLED.sub(attributes, svg)
