"""The knowledge base, with and without a photo."""

from __future__ import annotations

import asyncio

from edge_node.ui.presenter.core import Part
from edge_node.ui.state import BrowserState
from edge_node.ui.values import DiseasePage

_MOST_HITS = 40
_PAUSE_S = 0.15  # one search for a word, not one for each letter


class Reading(Part):
    """Looking things up."""

    def open(self) -> None:
        """Show all entries."""
        self.board.change(browser=BrowserState())
        self.board.switch("browser")
        self.errands.start("search", self._find(""))

    def search(self, text: str) -> None:
        """Show what fits."""
        self.board.alter("browser", query=text)
        self.errands.start("search", self._find(text, _PAUSE_S))

    async def _find(self, text: str, pause_s: float = 0.0) -> None:
        await asyncio.sleep(pause_s)
        if text.strip():
            hits = await self.services.knowledge.search(text, _MOST_HITS, self.state.language)
        else:
            hits = await self.services.knowledge.entries()
        self.board.alter("browser", hits=tuple(hits))

    def read(self, entry_id: str) -> None:
        """Show one entry."""
        self.errands.start("page", self._read(entry_id))

    async def _read(self, entry_id: str) -> None:
        page = await self.services.knowledge.page(entry_id)
        if page is not None:
            self.show(page)

    def show(self, page: DiseasePage) -> None:
        """Show an entry that is at hand."""
        self.board.alter("browser", page=page)
        self.board.go("page")
