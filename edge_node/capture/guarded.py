"""Suggestions that survive a model: one that dies over a picture goes into quarantine and is not asked again."""

from __future__ import annotations

from pathlib import Path

from edge_node.cache.quarantine import Quarantine
from edge_node.capture.service import CropSuggestions
from edge_node.worker.errors import ModelDiedError
from protocols.imaging import Box
from protocols.manifest import ReleaseManifest


class GuardedSuggestions:
    """``CropSuggestions`` that ask no release in quarantine; without a model, plain rectangles are still suggested."""

    def __init__(self, suggestions: CropSuggestions, quarantine: Quarantine) -> None:
        self._suggestions = suggestions
        self._quarantine = quarantine

    async def suggest(self, path: Path, manifest: ReleaseManifest | None, frame: int | None = None) -> Box | None:
        """As ``CropSuggestions.suggest``."""
        if manifest is not None and not await self._is_out(manifest):
            try:
                return await self._suggestions.suggest(path, manifest, frame)
            except ModelDiedError as died:
                await self._quarantine.add(died.manifest, died)
        return await self._suggestions.suggest(path, None, frame)

    async def _is_out(self, manifest: ReleaseManifest) -> bool:
        marks = await self._quarantine.marks()
        return any((mark.disease, mark.name) == (manifest.disease, manifest.name) for mark in marks)
