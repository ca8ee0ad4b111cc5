"""Cameras through OpenCV, where that is installed; it is no part of any extra."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from edge_node.ui.errors import UiError
from edge_node.ui.ports import FrameSource
from edge_node.ui.values import Raster
from edge_node.ui.worker import Worker

_WANTED_PX = (1920, 1080)


class OpenCvCamera:
    """The first camera of the machine; every call to it runs on the worker's threads."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._capture: Any = None

    async def open(self) -> None:
        """Switch it on.

        Raises:
            UiError: ``ui.camera_missing``.
        """
        await self._worker.call(self._open)

    def _open(self) -> None:
        import cv2  # type: ignore[import-not-found, unused-ignore]

        capture = cv2.VideoCapture(0)
        if not capture.isOpened():
            capture.release()
            raise UiError("ui.camera_missing")
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, _WANTED_PX[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, _WANTED_PX[1])
        self._capture = capture

    async def frame(self) -> Raster:
        """The present picture.

        Raises:
            UiError: ``ui.camera_missing`` once it was pulled out.
        """
        return await self._worker.call(self._frame)

    def _frame(self) -> Raster:
        import cv2

        good, pixels = (False, None) if self._capture is None else self._capture.read()
        if not good or pixels is None:
            raise UiError("ui.camera_missing")
        height, width = pixels.shape[:2]
        return Raster(width, height, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).tobytes())

    async def close(self) -> None:
        """Switch it off."""
        await self._worker.call(self._close)

    def _close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def find_camera(worker: Worker) -> FrameSource | None:
    """A camera, if OpenCV is here to read one; the camera itself is looked for when it is switched on."""
    return OpenCvCamera(worker) if find_spec("cv2") else None
