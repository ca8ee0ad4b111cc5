"""The installed models at work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node.recognition.picture import Picture
from edge_node.ui import photo as photos
from edge_node.ui.findings import finding as read_finding
from edge_node.ui.values import Answers, Photo, Prepared
from edge_node.ui.wiring.node import Adapter
from edge_node.ui.wiring.pictures import readable
from protocols.imaging import Box

if TYPE_CHECKING:
    from protocols.manifest import ReleaseManifest

_WARMING_PX = 64


class EdgeRecognition(Adapter):
    """The installed models."""

    async def warm_up(self, disease: str, model: str | None) -> None:
        """Load the model by running it once over a grey square."""
        await self._run(lambda: self._warm_up(disease, model))

    async def _warm_up(self, disease: str, model: str | None) -> None:
        manifests = await self._node.manifests(disease, model)
        service = await self._node.recognition()
        square = self._node.folder / "warm-up.png"
        if not square.exists():
            await asyncio.to_thread(_grey_square, square)
        await service.recognise([Picture(square)], manifests, None)

    async def prepare(self, photo: Photo, crop: Box | None, disease: str, model: str | None) -> Prepared:
        """What the model would see, by the one function that prepares it."""
        return await self._run(lambda: self._prepare(photo, crop, disease, model))

    async def _prepare(self, photo: Photo, crop: Box | None, disease: str, model: str | None) -> Prepared:
        manifest = (await self._node.manifests(disease, model))[0]
        return await asyncio.to_thread(readable(prepared), photo, crop, manifest)

    async def recognise(self, photo: Photo, crop: Box | None, disease: str | None, model: str | None) -> Answers:
        """Answers, most worrying first when there are several."""
        return await self._run(lambda: self._recognise(photo, crop, disease, model))

    async def _recognise(self, photo: Photo, crop: Box | None, disease: str | None, model: str | None) -> Answers:
        manifests = await self._node.manifests(disease, model)
        found = await (await self._node.recognition()).recognise(
            [Picture(photo.path, crop, photo.frame)], manifests, None
        )
        if found.failures:
            raise found.failures[0]
        return Answers(tuple(read_finding(document) for document in found.results), tuple(found.quarantined))


def prepared(photo: Photo, crop: Box | None, manifest: ReleaseManifest) -> Prepared:
    """The model's input as a picture, judged by the model's limits. Blocking."""
    from protocols.imaging import measure_quality, prepare
    from protocols.pictures import open_picture
    from protocols.recognition import quality_faults

    with open_picture(photo.path, photo.frame) as image:
        pixels = prepare(image, manifest.input, crop)
    faults = quality_faults(measure_quality(pixels, manifest.input), manifest.quality)
    return Prepared(photos.as_shown(pixels, manifest.input), faults)


def _grey_square(path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    Image.new("RGB", (_WARMING_PX, _WARMING_PX), (128, 128, 128)).save(path)
