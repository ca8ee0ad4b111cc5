"""The PIN. Digits are kept here until they are used and never become part of the state."""

from __future__ import annotations

from edge_node.ui.errors import UiError
from edge_node.ui.ports import Services
from edge_node.ui.presenter.core import Board, Errands, Part
from edge_node.ui.state import AppState, PinState

MOST_DIGITS = 12


class Locking(Part):
    """Locking, unlocking, setting and forgetting the PIN."""

    def __init__(self, board: Board, services: Services, errands: Errands) -> None:
        super().__init__(board, services, errands)
        self._digits = ""
        self._first = ""

    async def start(self) -> None:
        """Look whether the app starts locked."""
        vault = self.services.vault
        self.board.alter("pin", is_set=await vault.has_pin())
        self.board.change(locked=await vault.is_locked())

    def lock(self) -> None:
        """Lock now; everything about patients leaves the screen and the state."""
        if self.state.pin.is_set:
            former = self.state
            kept = AppState(language=former.language, shelf=former.shelf, pin=PinState(is_set=True), locked=True)
            self.board.change(**vars(kept))
            self._clear()
            self.errands.start("lock", self.services.vault.lock())

    def digit(self, digit: str) -> None:
        """One more digit."""
        if not self.state.pin.checking and len(self._digits) < MOST_DIGITS:
            self._digits += digit
            self.board.change(failure=None)
            self.board.alter("pin", typed=len(self._digits))

    def erase(self) -> None:
        """One digit less."""
        self._digits = self._digits[:-1]
        self.board.alter("pin", typed=len(self._digits))

    def enter(self) -> None:
        """The PIN is complete."""
        digits, mode = self._digits, self.state.pin.mode
        self._clear()
        self.board.change(failure=None)
        if mode == "unlock":
            self.board.alter("pin", checking=True)
            self.errands.start("pin", self._unlock(digits), lambda: self.board.alter("pin", checking=False))
        elif mode == "set":
            self._first = digits
            self.board.alter("pin", mode="repeat")
        else:
            self.board.alter("pin", checking=True)
            self.errands.start("pin", self._set(digits), lambda: self.board.alter("pin", checking=False))

    async def _unlock(self, digits: str) -> None:
        await self.services.vault.unlock(digits)
        self.board.change(locked=False)

    def choose_new(self) -> None:
        """Ask for a new PIN, twice."""
        self._clear()
        self.board.alter("pin", mode="set")
        self.board.go("pin")

    async def _set(self, digits: str) -> None:
        first, self._first = self._first, ""
        self.board.alter("pin", mode="set")
        if digits != first:
            raise UiError("ui.pin_differs")
        await self.services.vault.set_pin(digits)
        self.board.change(pin=PinState(is_set=True))
        self.board.back()

    def remove(self) -> None:
        """Do without a PIN."""
        self.errands.start("pin", self._remove())

    async def _remove(self) -> None:
        await self.services.vault.set_pin(None)
        self.board.alter("pin", is_set=False)

    def forgotten(self, *, yes: bool) -> None:
        """Ask what to do about a forgotten PIN, or take the question back."""
        self.board.change(failure=None)
        self.board.alter("pin", forgotten=yes)

    def start_afresh(self) -> None:
        """Put the locked references aside, still encrypted, and ask for a new invite: a finder of the device gets nothing."""
        self.errands.start("pin", self._start_afresh())

    async def _start_afresh(self) -> None:
        await self.services.enrolment.leave()
        await self.services.vault.set_aside()
        self.board.change(locked=False, pin=PinState(), route=("home",))
        self.board.change(shelf=await self.services.library.shelf(ask=False))

    def _clear(self) -> None:
        self._digits = ""
        self.board.alter("pin", typed=0)
