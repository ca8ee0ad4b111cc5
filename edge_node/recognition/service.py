"""``recognise``: pictures and installed releases in, results with diagnosis aid out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_node.knowledge.lookup import KnowledgeSource, consult
from edge_node.recognition.failures import ImageFileError, of_file
from edge_node.recognition.recogniser import Recogniser, Recognition
from edge_node.recognition.result import entries_in_set, entries_of, result
from protocols.errors import ProtocolError
from protocols.imaging import Box
from protocols.manifest import ReleaseManifest


@dataclass
class Findings:
    """What ``recognise`` answers: results by picture and release, and the pictures that could not be read."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[ImageFileError] = field(default_factory=list)


class RecognitionService:
    """Recognises on this machine; the knowledge base is asked once for all pictures."""

    def __init__(
        self,
        recogniser: Recogniser,
        coordinator: KnowledgeSource | None,
        replica: KnowledgeSource,
        coordinator_timeout_s: float,
    ) -> None:
        self._recogniser = recogniser
        self._replica = replica
        self._sources: list[tuple[KnowledgeSource, float | None]] = [(replica, None)]
        if coordinator is not None:
            self._sources.insert(0, (coordinator, coordinator_timeout_s))

    async def recognise(
        self, images: Sequence[Path], releases: Sequence[ReleaseManifest], crop: Box | None, case: str | None
    ) -> Findings:
        """Results for every picture and release; a picture that cannot be used does not stop the others.

        Raises:
            ProtocolError: ``stage.*`` where an installed model does not run.
        """
        findings = Findings()
        recognitions: list[Recognition] = []
        for image in images:
            try:
                recognitions += await asyncio.to_thread(self._recogniser.recognise, image, releases, crop)
            except ProtocolError as error:
                if not error.code.startswith("image."):
                    raise
                findings.failures.append(of_file(image, error))
            except OSError as error:
                findings.failures.append(of_file(image, error))
        if recognitions:
            findings.results = await self._explained(recognitions, releases, case)
        return findings

    async def _explained(
        self, recognitions: Sequence[Recognition], releases: Sequence[ReleaseManifest], case: str | None
    ) -> list[dict[str, Any]]:
        wanted = set[str]().union(*(entries_in_set(r) for r in recognitions))
        named = set[str]().union(*(entries_of(m) for m in releases))
        aid, names = await asyncio.gather(consult(self._sources, wanted), consult([(self._replica, None)], named))
        return [result(r, aid, names, case) for r in recognitions]
