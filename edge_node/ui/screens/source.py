"""Where the picture comes from: a file, or the camera."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.metrics import dp
from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Column, Row
from edge_node.ui.screens.widgets.picture import Picture
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch

_AT_ONCE = 20


class SourcePage(Page):
    """A folder's pictures; the camera above them."""

    _most = _AT_ONCE
    _finder: Picture | None = None

    def title(self) -> str:
        """What is looked for."""
        chosen, shelf = self.state.photo, self.state.shelf
        if chosen.purpose == "invite":
            return self.words.t("Picture of the QR code")
        if chosen.disease is None or shelf is None:
            return self.words.t("One photo, all diseases")
        return wording.name_of(shelf.name(chosen.disease), self.words)

    def depends(self) -> Any:
        """The folder, and whether the camera runs."""
        chosen = self.state.photo
        return chosen.folder, chosen.camera_on, chosen.frame is None, chosen.opening, self._most, self.state.language

    def build(self) -> Iterator[Widget]:
        """Camera, folder, files."""
        chosen, words = self.state.photo, self.words
        self._finder = None
        if chosen.opening:
            yield self.note(words.t("Opening the picture …"))
            return
        if chosen.camera_on:
            yield from self._camera()
            return
        yield self.heading(words.t("Choose the picture"))
        if chosen.purpose == "recognise":
            if self.presenter.services.camera is None:
                yield self.note(
                    words.t("No camera can be used on this device; take the picture elsewhere and choose the file.")
                )
            else:
                yield Touch(
                    words.t("Take a photo"),
                    self.presenter.capture.start_camera,
                    key="source.camera",
                    pair=theme.PRIMARY,
                )
        folder = chosen.folder
        if folder is None:
            return
        if folder.path.parent != folder.path:
            up = folder.path.parent
            yield Touch(
                words.t("Up one folder"),
                lambda: self._browse(up),
                key="source.up",
                size=theme.SMALL,
                detail=_short(str(folder.path)),
            )
        if not folder.folders and not folder.files:
            yield self.note(words.t("No pictures in this folder."))
        names = [(name, True) for name in folder.folders] + [(name, False) for name in folder.files]
        for name, is_folder in names[: self._most]:
            yield self._row(name, is_folder)
        if len(names) > self._most:
            yield Touch(words.t("Show more"), self._more, key="source.more")

    def _row(self, name: str, is_folder: bool) -> Widget:
        folder = self.state.photo.folder
        assert folder is not None
        path = folder.path / name
        if is_folder:
            detail = self.words.t("Folder")
            return Touch(name, lambda: self._browse(path), key=f"source.folder.{name}", detail=detail, align="left")
        return Touch(
            name,
            lambda: self.presenter.capture.choose(path),
            key=f"source.file.{name}",
            pair=theme.SURFACE,
            align="left",
        )

    def _camera(self) -> Iterator[Widget]:
        frame = self.state.photo.frame
        if frame is None:
            yield self.note(self.words.t("Switching the camera on …"))
            return
        self._finder = Picture(frame, size_hint_y=None, height=dp(400))
        yield Column(self._finder)
        yield Touch(self.words.t("Take it"), self.presenter.capture.shoot, key="source.shoot", pair=theme.PRIMARY)
        yield Row(Touch(self.words.t("Cancel"), self.presenter.capture.stop_camera, key="source.stop"))
        yield Text(self.words.t("Hold still until the picture is sharp."), size=theme.SMALL)

    def _browse(self, path: Any) -> None:
        self._most = _AT_ONCE
        self.presenter.capture.browse(path)

    def _more(self) -> None:
        self._most += _AT_ONCE
        self.refresh()

    def update(self) -> None:
        """The camera's next frame."""
        if self._finder is not None and self.state.photo.frame is not None:
            self._finder.show(self.state.photo.frame)


def _short(path: str, most: int = 44) -> str:
    return path if len(path) <= most else "…" + path[-most + 1 :]
