"""``recognise``: pictures and installed releases in, results with diagnosis aid out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import EdgeError
from edge_node.knowledge.lookup import KnowledgeSource, consult
from edge_node.recognition.explain import ExplanationFiles, write_png
from edge_node.recognition.failures import ImageFileError, of_file
from edge_node.recognition.overlay import draw
from edge_node.recognition.picture import Picture
from edge_node.recognition.ranking import ranked
from edge_node.recognition.recogniser import Recognition
from edge_node.recognition.result import Explained, entries_in_set, entries_of, result
from protocols import explanation
from protocols.errors import ProtocolError
from protocols.imaging import ImageError
from protocols.manifest import ReleaseManifest


@dataclass
class Findings:
    """What ``recognise`` answers.

    Attributes:
        results: by picture, and for each picture in order of rank.
        failures: the pictures that could not be read.
        unwritten: the explanations that could not be written; their results stand.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[ImageFileError] = field(default_factory=list)
    unwritten: list[EdgeError] = field(default_factory=list)


class Recogniser(Protocol):
    """Runs releases over a picture: in this process, or in one that may die of it."""

    def recognise(
        self, picture: Picture, releases: Sequence[ReleaseManifest], *, explain: bool = False
    ) -> list[Recognition]:
        """One recognition for each release, in their order; with evidence if ``explain``. Blocking."""
        ...


@dataclass(frozen=True)
class _Found:
    recognition: Recognition
    rank: int
    explained: Explained


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
        self,
        pictures: Sequence[Picture],
        releases: Sequence[ReleaseManifest],
        case: str | None,
        explain: ExplanationFiles | None = None,
    ) -> Findings:
        """Results for every picture and release; a picture that cannot be used does not stop the others.

        Raises:
            EdgeError: ``edge.explain_over_image``; nothing was done.
            ProtocolError: ``stage.*`` where an installed model does not run.
        """
        if explain is not None:
            explain.spare([picture.file for picture in pictures], releases)
        findings = Findings()
        found: list[_Found] = []
        for number, picture in enumerate(pictures, 1):
            try:
                recognitions = await asyncio.to_thread(
                    self._recogniser.recognise, picture, releases, explain=explain is not None
                )
            except ProtocolError as error:
                if not error.code.startswith("image."):
                    raise
                findings.failures.append(of_file(picture.file, error))
            except OSError as error:
                findings.failures.append(of_file(picture.file, error))
            else:
                for rank, recognition in enumerate(ranked(recognitions), 1):
                    file = explain.path(number, recognition.manifest) if explain is not None else None
                    explained = await self._explained(recognition, file, findings)
                    found.append(_Found(recognition, rank, explained))
        if found:
            findings.results = await self._results(found, releases, case)
        return findings

    async def heat(self, picture: Picture, release: ReleaseManifest) -> dict[str, NDArray[np.float32]] | None:
        """For each label what speaks for it and against it, [h, w] in -1..1; None where the model cannot tell where.

        The cells of a map do not reach to the borders of the crop; ``overlay.smooth`` and ``tint`` know where they lie.

        Raises:
            ProtocolError: ``image.*`` where the picture cannot be used, ``stage.*`` where the model cannot.
            OSError: the file cannot be read.
        """
        (found,) = await asyncio.to_thread(self._recogniser.recognise, picture, [release], explain=True)
        evidence = found.evidence
        if evidence is None:
            return None
        return {label.label: explanation.heat(evidence, index) for index, label in enumerate(release.labels)}

    async def _explained(self, recognition: Recognition, file: Path | None, findings: Findings) -> Explained:
        """Draw the evidence for the first of the considered labels to ``file``, if there is one."""
        if file is None:
            return Explained()
        if recognition.answer.outcome == "not_this_kind_of_image":
            return Explained(reason="not_this_kind_of_image")
        if recognition.evidence is None:
            return Explained(reason="no_locations")
        index = recognition.answer.considered[0]
        heat_map = explanation.heat(recognition.evidence, index)
        manifest = recognition.manifest
        try:
            data = await asyncio.to_thread(draw, recognition.picture, heat_map, manifest.input.edge_px)
            await asyncio.to_thread(write_png, file, data)
        except (OSError, ImageError) as error:  # an ImageError: the picture has changed since
            problem = getattr(error, "strerror", None) or type(error).__name__
            findings.unwritten.append(EdgeError("edge.explanation_unwritable", path=file, problem=problem))
            return Explained(reason="not_written")
        rows, columns = heat_map.shape
        return Explained(file, manifest.labels[index].label, (rows, columns), None)

    async def _results(
        self, found: Sequence[_Found], releases: Sequence[ReleaseManifest], case: str | None
    ) -> list[dict[str, Any]]:
        wanted = set[str]().union(*(entries_in_set(f.recognition) for f in found))
        named = set[str]().union(*(entries_of(m) for m in releases))
        aid, names = await asyncio.gather(consult(self._sources, wanted), consult([(self._replica, None)], named))
        return [result(f.recognition, f.rank, f.explained, aid, names, case) for f in found]
