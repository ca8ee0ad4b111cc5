"""The region to suggest."""

from __future__ import annotations

from edge_node.ui.values import Photo
from edge_node.ui.wiring.node import Adapter
from protocols.imaging import Box


class ModelCrops(Adapter):
    """Regions judged by the model, in the process where models run."""

    async def suggest(self, photo: Photo, disease: str | None, model: str | None) -> Box | None:
        """A region in pixels of the picture; of all diseases, none has a say."""
        return await self._run(lambda: self._suggest(photo, disease, model))

    async def _suggest(self, photo: Photo, disease: str | None, model: str | None) -> Box | None:
        manifest = None if disease is None else (await self._node.manifests(disease, model))[0]
        return await (await self._node.suggestions()).suggest(photo.path, manifest, photo.frame)
