"""The whole presenter: the parts around one state."""

from __future__ import annotations

from edge_node.ui.ports import Services
from edge_node.ui.presenter.capture import Capture
from edge_node.ui.presenter.core import Board, Errands
from edge_node.ui.presenter.device import DevicePart
from edge_node.ui.presenter.joining import Joining
from edge_node.ui.presenter.locking import Locking
from edge_node.ui.presenter.models import Models
from edge_node.ui.presenter.past import Past
from edge_node.ui.presenter.reading import Reading
from edge_node.ui.presenter.results import Results
from edge_node.ui.state import AppState
from protocols.errors import Language


class Presenter:
    """What widgets call. Knows nothing of widgets; every method returns at once."""

    def __init__(self, services: Services, language: Language | None = None) -> None:
        """Args: language: for this run alone; None: the remembered one."""
        self.board = Board(AppState(language=language or services.preferences.language()))
        self.services = services
        self.errands = Errands(self.board)
        parts = (self.board, services, self.errands)
        self.models = Models(*parts)
        self.joining = Joining(*parts)
        self.results = Results(*parts)
        self.capture = Capture(*parts, self.joining, self.results)
        self.reading = Reading(*parts)
        self.past = Past(*parts)
        self.locking = Locking(*parts)
        self.device = DevicePart(*parts)

    @property
    def state(self) -> AppState:
        """The present state."""
        return self.board.state

    def start(self) -> None:
        """Begin: locked or not, with what is known on this device."""
        self.errands.start("start", self._start())

    async def _start(self) -> None:
        await self.locking.start()
        self.models.look()

    def set_language(self, language: Language) -> None:
        """Speak another language from now on."""
        self.board.change(language=language)
        self.errands.start("language", self.services.preferences.set_language(language))

    def open_disease(self, disease: str) -> None:
        """Tapping a disease: a photo where its one model is here, else its models."""
        offers = self.state.shelf.of(disease) if self.state.shelf else ()
        ready = [offer for offer in offers if offer.ready]
        if len(ready) == 1:
            self.capture.begin(disease, ready[0].model)
        else:
            self.models.open_sheet(disease)

    def open_case(self, result: str) -> None:
        """Show a result of the history."""
        self.past.read(self.results, result)

    def home(self) -> None:
        """Show the diseases."""
        self._leave()
        self.board.switch("home")

    def back(self) -> None:
        """Go back one step; a forgotten-PIN question, a failure or a camera closes first."""
        if self.state.locked:
            self.locking.forgotten(yes=False)
        elif self.state.failure is not None:
            self.dismiss()
        else:
            self._leave()
            self.board.back()

    def dismiss(self) -> None:
        """Close the failure on the screen."""
        self.board.change(failure=None)

    def _leave(self) -> None:
        self.errands.cancel("recognise")
        self.board.alter("photo", recognising=False)
        self.capture.stop_suggesting()
        if self.state.photo.camera_on:
            self.capture.stop_camera()

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        await self.errands.settle()

    async def close(self) -> None:
        """Stop all work."""
        await self.errands.close()
