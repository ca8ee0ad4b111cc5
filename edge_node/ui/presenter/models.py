"""The list of diseases and the sheet with a disease's models."""

from __future__ import annotations

import asyncio
import time

from edge_node.ui.presenter.core import Part
from edge_node.ui.state import Download
from edge_node.ui.values import Card, Offer
from protocols.errors import MedMeshError


class Models(Part):
    """What there is, what is here, and getting more."""

    def look(self) -> None:
        """Show at once what is on this device, then what was last listed, then ask the coordinator in the background."""
        self.errands.start("shelf", self._look(), lambda: self.board.change(refreshing=False))

    async def _look(self) -> None:
        library = self.services.library
        if self.state.shelf is None:
            self.board.change(shelf=await library.here())
        shelf = await library.shelf(ask=False)
        self.board.change(shelf=shelf, refreshing=shelf.member)
        if shelf.member:
            self.board.change(shelf=await library.shelf(ask=True))

    def open_sheet(self, disease: str) -> None:
        """Show the models of a disease."""
        self.board.alter("sheet", disease=disease, cards=(), over_budget=None)
        self.board.go("sheet")
        self.errands.start("cards", self._cards(disease))

    async def _cards(self, disease: str) -> None:
        found: list[tuple[str, Card]] = []
        for offer in self.state.shelf.of(disease) if self.state.shelf else ():
            card = None if offer.active_version is None else await self.services.library.card(disease, offer.model)
            found += [] if card is None else [(offer.model, card)]
        if self.state.sheet.disease == disease:
            self.board.alter("sheet", cards=tuple(found))

    def download(self, offer: Offer, *, over_budget: bool = False) -> None:
        """Fetch a model and bring it into use; ``over_budget``: whatever the month's budget says."""
        self.board.change(failure=None)
        going = Download(offer.disease, offer.model, 0, offer.bytes_needed or 0)
        self.board.alter("sheet", download=going, over_budget=None)
        self.errands.start(
            "download", self._download(offer, over_budget), lambda: self.board.alter("sheet", download=None)
        )

    async def _download(self, offer: Offer, over_budget: bool) -> None:
        loop, start = asyncio.get_running_loop(), time.monotonic()

        def advance(done: int, total: int) -> None:
            going = self.state.sheet.download
            if going is not None and (going.disease, going.model) == (offer.disease, offer.model):
                seconds = time.monotonic() - start
                fresh = Download(offer.disease, offer.model, done, total, seconds)
                self.board.alter("sheet", download=fresh)

        def progress(done: int, total: int) -> None:
            loop.call_soon_threadsafe(advance, done, total)

        try:
            await self.services.library.pull(offer.disease, offer.model, progress, over_budget=over_budget)
        except MedMeshError as error:
            if error.code == "edge.budget_used":
                self.board.alter("sheet", over_budget=offer.release)
            raise
        self.board.change(shelf=await self.services.library.shelf(ask=False))
        await self._cards(offer.disease)

    def cancel_download(self) -> None:
        """Stop fetching; what has arrived is kept for the next time."""
        self.errands.cancel("download")
        self.board.alter("sheet", download=None)

    def remove(self, offer: Offer) -> None:
        """Delete a model from this device."""
        self.errands.start("remove", self._remove(offer))

    async def _remove(self, offer: Offer) -> None:
        await self.services.library.remove(offer.disease, offer.model)
        self.board.change(shelf=await self.services.library.shelf(ask=False))
        await self._cards(offer.disease)
