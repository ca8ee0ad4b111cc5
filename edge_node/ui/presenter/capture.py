"""From "what shall be looked at" to an answer: file or camera, region, preview, recognition."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge_node.ui.cropping import Handle, dragged, scaled, within
from edge_node.ui.ports import CropSuggestion, Services
from edge_node.ui.presenter.core import Board, Errands, Part
from edge_node.ui.presenter.joining import Joining
from edge_node.ui.presenter.results import Results
from edge_node.ui.state import PhotoState
from edge_node.ui.values import Photo, Raster
from protocols.imaging import Box

_SETTLE_S = 0.08  # a dragged handle is followed by one preparation, not by fifty
_FRAME_S = 1 / 12


class Capture(Part):
    """One photo on its way to an answer."""

    def __init__(self, board: Board, services: Services, errands: Errands, joining: Joining, results: Results) -> None:
        super().__init__(board, services, errands)
        self._joining = joining
        self._results = results

    def begin(self, disease: str | None, model: str | None = None) -> None:
        """Look for one disease, or (None) for all that have a model here."""
        folder = self.state.photo.folder
        self.board.change(photo=PhotoState(disease, model, folder=folder))
        self.board.go("source")
        self.browse(None if folder is None else folder.path)
        self.errands.start("warm", self._warm(disease, model))

    def begin_invite(self) -> None:
        """Look for the picture of an invite's QR code."""
        self.board.change(photo=PhotoState(purpose="invite", folder=self.state.photo.folder))
        self.board.go("source")
        self.browse(None)

    async def _warm(self, disease: str | None, model: str | None) -> None:
        if disease is not None:
            await self.services.recognition.warm_up(disease, model)

    def browse(self, path: Path | None) -> None:
        """Show a folder."""
        self.errands.start("folder", self._browse(path))

    async def _browse(self, path: Path | None) -> None:
        self.board.alter("photo", folder=await self.services.pictures.folder(path))

    def choose(self, path: Path) -> None:
        """Take this file."""
        if self.state.photo.purpose == "invite":
            self._joining.read_code(path)
            return
        self.board.change(failure=None)
        self.board.alter("photo", opening=True)
        self.errands.start("photo", self._choose(path), lambda: self.board.alter("photo", opening=False))

    async def _choose(self, path: Path) -> None:
        await self._take(await self.services.pictures.open(path))

    def turn_to(self, frame: int) -> None:
        """Of a file with several pictures, take this one."""
        photo = self.state.photo.photo
        if photo is not None and 1 <= frame <= photo.frames:
            self.board.change(failure=None)
            self.board.alter("photo", opening=True)
            self.errands.start("photo", self._turn(photo, frame), lambda: self.board.alter("photo", opening=False))

    async def _turn(self, photo: Photo, frame: int) -> None:
        found = await self.services.pictures.open(photo.path, frame)
        await self._take(replace(found, frames=photo.frames))

    async def _take(self, photo: Photo) -> None:
        self.board.alter("photo", photo=photo, box=photo.whole, suggested=None, prepared=None)
        self.board.go("check")
        self._prepare(at_once=True)
        if self.services.crops is not None:
            self.board.alter("photo", suggesting=True)
            self.errands.start(
                "suggest",
                self._suggest(self.services.crops, photo),
                lambda: self.board.alter("photo", suggesting=False),
            )

    async def _suggest(self, crops: CropSuggestion, photo: Photo) -> None:
        """Take the suggested region, unless the person has chosen another meanwhile."""
        chosen = self.state.photo
        found = await crops.suggest(photo, chosen.disease, chosen.model)
        box = photo.whole if found is None else within(found, photo.width, photo.height)
        if self.state.photo.photo is not photo or box == photo.whole:
            return
        self.board.alter("photo", suggested=box)
        if self.state.photo.box == photo.whole:
            self.board.alter("photo", box=box)
            self._prepare(at_once=True)

    def stop_suggesting(self) -> None:
        """Leave the region as it is."""
        self.errands.cancel("suggest")
        self.board.alter("photo", suggesting=False)

    def use(self, box: Box | None) -> None:
        """Take this region; None: the whole picture."""
        photo = self.state.photo.photo
        if photo is not None:
            fitting = photo.whole if box is None else within(box, photo.width, photo.height)
            if fitting != self.state.photo.box:
                self.board.alter("photo", box=fitting)
                self._prepare()

    def drag(self, handle: Handle, dx: int, dy: int) -> None:
        """Move a handle (or the whole region) by pixels of the picture."""
        photo, box = self.state.photo.photo, self.state.photo.box
        if photo is not None and box is not None:
            self.use(dragged(box, handle, dx, dy, photo.width, photo.height))

    def scale(self, steps: int) -> None:
        """Grow or shrink the region."""
        photo, box = self.state.photo.photo, self.state.photo.box
        if photo is not None and box is not None:
            self.use(scaled(box, steps, photo.width, photo.height))

    def _prepare(self, *, at_once: bool = False) -> None:
        self.errands.start("prepare", self._prepared(0.0 if at_once else _SETTLE_S))

    async def _prepared(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        chosen = self.state.photo
        if chosen.photo is None:
            return
        disease, model = chosen.disease, chosen.model
        if disease is None:
            shelf = self.state.shelf
            ready = [offer for offer in (shelf.offers if shelf else ()) if offer.ready]
            if not ready:
                return
            disease, model = ready[0].disease, ready[0].model
        prepared = await self.services.recognition.prepare(chosen.photo, chosen.box, disease, model)
        self.board.alter("photo", prepared=prepared)

    def recognise(self) -> None:
        """Ask the model, or all of them."""
        if self.state.photo.photo is None or self.state.photo.recognising:
            return
        self.board.change(failure=None)
        self.stop_suggesting()  # what is on the screen is what is asked about
        self.board.alter("photo", recognising=True)
        self.errands.start("recognise", self._recognise(), lambda: self.board.alter("photo", recognising=False))

    async def _recognise(self) -> None:
        chosen = self.state.photo
        assert chosen.photo is not None
        answers = await self.services.recognition.recognise(chosen.photo, chosen.box, chosen.disease, chosen.model)
        if chosen.disease is None:
            self.board.change(screening=answers)
            self.board.go("screening")
        else:
            self._results.show(answers.findings[0], chosen.photo, chosen.box, chosen.prepared)

    def start_camera(self) -> None:
        """Show the camera's picture."""
        if self.services.camera is not None:
            self.board.change(failure=None)
            self.errands.start("camera", self._film(), lambda: self.board.alter("photo", camera_on=False, frame=None))

    async def _film(self) -> None:
        camera = self.services.camera
        assert camera is not None
        try:
            await camera.open()
            self.board.alter("photo", camera_on=True)
            while True:
                self.board.alter("photo", frame=await camera.frame())
                await asyncio.sleep(_FRAME_S)
        finally:
            with suppress(asyncio.CancelledError):
                await asyncio.shield(camera.close())

    def stop_camera(self) -> None:
        """Switch it off."""
        self.errands.cancel("camera")
        self.board.alter("photo", camera_on=False, frame=None)

    def shoot(self) -> None:
        """Take the camera's present picture."""
        frame = self.state.photo.frame
        if frame is not None:
            self.stop_camera()
            self.board.alter("photo", opening=True)
            self.errands.start("photo", self._shoot(frame), lambda: self.board.alter("photo", opening=False))

    async def _shoot(self, frame: Raster) -> None:
        await self._choose(await self.services.pictures.keep(frame))
