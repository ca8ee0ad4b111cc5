"""Picture files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge_node.errors import EdgeError
from edge_node.ui import photo as photos
from edge_node.ui.errors import UiError
from edge_node.ui.values import Folder, Photo, Raster
from edge_node.ui.wiring.node import Adapter

T = TypeVar("T")


class FilePictures(Adapter):
    """Picture files."""

    async def folder(self, path: Path | None) -> Folder:
        """List a folder."""

        def listed() -> Folder:
            try:
                return photos.list_folder(path or photos.usual_folder())
            except OSError as error:
                raise UiError("ui.folder_unreadable") from error

        return await self._worker.call(listed)

    async def open(self, path: Path, frame: int | None = None) -> Photo:
        """Open a picture."""
        return await self._worker.call(readable(photos.load), path, frame)

    async def keep(self, frame: Raster) -> Path:
        """Write a camera's frame."""
        return await self._worker.call(photos.keep, frame, self._node.folder / "pictures")


def readable(function: Callable[..., T]) -> Callable[..., T]:
    """Let a file that cannot be read fail with a sentence of ours."""

    def guarded(*arguments: Any) -> T:
        try:
            return function(*arguments)
        except OSError as error:
            raise EdgeError("edge.image_unreadable", problem=error.strerror or type(error).__name__) from error

    return guarded
