"""Suggesting a crop for a picture file: reading it, running the trunk, off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_node.capture.crop import suggest_crop
from edge_node.capture.picture import Size, upright
from protocols.imaging import Box, oriented_size, prepare
from protocols.manifest import NoveltyLimits, ReleaseManifest
from protocols.novelty import NoveltyStatistics, Residuals
from protocols.pictures import open_picture
from protocols.pipeline import Tensors

WORKING_PX = (
    1000  # longer side of the copy that the trunk sees regions of; half of a usual phone camera's quarter scale
)


class NoveltyRunner(Protocol):
    """Measures how unlike the training images pixels are; ``ModelNovelty`` in the field."""

    def residuals(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Residuals | None:
        """None where the release has no statistics; of the residuals only the appearance is looked at."""
        ...


class _AbandonedError(Exception):
    """Nobody waits for the suggestion any more."""


class CropSuggestions:
    """Suggests crops, one at a time."""

    def __init__(self, runner: NoveltyRunner, path_of: Callable[[str], Path]) -> None:
        """Make one.

        Args:
            runner: used by one thread at a time here; it must not run elsewhere meanwhile.
            path_of: gives the file of an artifact that is already verified.
        """
        self._runner = runner
        self._path_of = path_of
        self._running = threading.Lock()
        self._statistics: dict[str, NoveltyStatistics] = {}

    async def suggest(self, path: Path, manifest: ReleaseManifest | None, frame: int | None = None) -> Box | None:
        """The region to show the model, in pixels of the oriented original; None: the whole picture.

        Without a ``manifest`` only a plain rectangle is suggested.

        Cancelling ends the work within one run of the trunk.

        Raises:
            ProtocolError: ``image.*`` where the picture cannot be used, ``stage.*`` or ``manifest.malformed`` where the
                model cannot.
            OSError: a file cannot be read.
        """
        abandoned = threading.Event()
        try:
            return await asyncio.to_thread(self._suggest, path, manifest, frame, abandoned)
        finally:
            abandoned.set()

    def _suggest(
        self, path: Path, manifest: ReleaseManifest | None, frame: int | None, abandoned: threading.Event
    ) -> Box | None:
        with open_picture(path, frame) as image:
            width, height = oriented_size(image)
            picture = upright(image, None, _working_size)
        with self._running:
            model = None
            if manifest is not None and manifest.novelty is not None:
                statistics = self._statistics_of(manifest.novelty.sha256)
                model = _Model(picture, manifest, manifest.novelty, statistics, self._runner, abandoned)
            box = suggest_crop(np.asarray(picture), model)
        return None if box is None else _enlarged(box, picture.size, (width, height))

    def _statistics_of(self, sha256: str) -> NoveltyStatistics:
        if sha256 not in self._statistics:
            self._statistics[sha256] = NoveltyStatistics.from_bytes(self._path_of(sha256).read_bytes())
        return self._statistics[sha256]


class _Model:
    """A release that judges regions of one picture."""

    def __init__(
        self,
        picture: Image.Image,
        manifest: ReleaseManifest,
        limits: NoveltyLimits,
        statistics: NoveltyStatistics,
        runner: NoveltyRunner,
        abandoned: threading.Event,
    ) -> None:
        self._picture = picture
        self._manifest = manifest
        self._familiar = max(limits.familiar, 1e-9)
        self._statistics = statistics
        self._runner = runner
        self._abandoned = abandoned
        self.foreign = limits.foreign / self._familiar

    def appearance(self, box: Box | None) -> float:
        if self._abandoned.is_set():
            raise _AbandonedError
        found = self._runner.residuals(self._manifest, prepare(self._picture, self._manifest.input, box), {})
        assert found is not None  # the manifest has limits
        return found.appearance / self._familiar

    def layout(self, thumbnails: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._statistics.layout.residual(thumbnails)


def _working_size(width: int, height: int) -> Size:
    scale = min(1.0, WORKING_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _enlarged(box: Box, small: Size, original: Size) -> Box:
    """A box of the working copy in the original, never outside it."""
    across, down = original[0] / small[0], original[1] / small[1]
    left, top = round(box.x * across), round(box.y * down)
    right, bottom = round((box.x + box.width) * across), round((box.y + box.height) * down)
    return Box(left, top, min(right, original[0]) - left, min(bottom, original[1]) - top)
