"""Joining a coordinator, by pasted text or the picture of a QR code."""

from __future__ import annotations

from pathlib import Path

from edge_node.ui.presenter.core import Part
from edge_node.ui.state import JoinState


class Joining(Part):
    """One invite makes this device a node."""

    def open(self) -> None:
        """Show the screen, empty."""
        self.board.change(join=JoinState())
        self.board.go("join")

    def type(self, text: str) -> None:
        """Take over what was typed or pasted."""
        self.board.alter("join", text=text)

    def read_code(self, picture: Path) -> None:
        """Take the invite from a picture of its QR code."""
        self.board.go("join")
        self.board.alter("join", busy=True)
        self.errands.start("code", self._read_code(picture), lambda: self.board.alter("join", busy=False))

    async def _read_code(self, picture: Path) -> None:
        self.board.alter("join", text=await self.services.enrolment.read_code(picture))

    def join(self, name: str = "") -> None:
        """Enrol with the invite on the screen."""
        self.board.change(failure=None)
        self.board.alter("join", busy=True)
        self.errands.start("join", self._join(name), lambda: self.board.alter("join", busy=False))

    async def _join(self, name: str) -> None:
        membership = await self.services.enrolment.join(self.state.join.text, name)
        self.board.alter("join", joined=membership, text="")
        self.board.change(shelf=await self.services.library.shelf(ask=False))
        self.board.change(shelf=await self.services.library.shelf(ask=True))
