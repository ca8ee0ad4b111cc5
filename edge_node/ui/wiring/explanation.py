"""Evidence for an answer, as a picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge_node.ui.values import Finding, Heat, Photo
from edge_node.ui.wiring.node import Adapter
from protocols.imaging import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EvidenceMaps(Adapter):
    """Evidence for the likeliest label, drawn over the square that the model saw."""

    async def explain(self, photo: Photo, crop: Box | None, finding: Finding) -> Heat | None:
        """The map, or None where the model cannot tell where."""
        return await self._run(lambda: self._explain(photo, crop, finding))

    async def _explain(self, photo: Photo, crop: Box | None, finding: Finding) -> Heat | None:
        manifest = (await self._node.manifests(finding.disease, finding.release))[0]
        from edge_node.recognition.picture import Picture

        maps = await (await self._node.recognition()).heat(Picture(photo.path, crop, photo.frame), manifest)
        if maps is None:
            return None
        return await asyncio.to_thread(_tinted, maps[finding.top.label], manifest.input.edge_px)


def _tinted(heat: NDArray[np.float32], edge_px: int) -> Heat:
    from edge_node.recognition.overlay import tint

    picture = tint(heat, edge_px, (edge_px, edge_px))
    return Heat(picture.width, picture.height, picture.tobytes())
