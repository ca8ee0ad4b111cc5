"""Recognition that survives a model: the one that died goes into quarantine, the version before it takes its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.cache.quarantine import Quarantine, refusal
from edge_node.cache.store import Quarantined
from edge_node.errors import EdgeError
from edge_node.recognition.explain import ExplanationFiles
from edge_node.recognition.picture import Picture
from edge_node.recognition.service import Findings, RecognitionService
from edge_node.worker.errors import ModelDiedError
from protocols.manifest import ReleaseManifest


@dataclass
class GuardedFindings(Findings):
    """``Findings``, and the releases that were asked for and did not run, for which no earlier version stood in."""

    quarantined: list[EdgeError] = field(default_factory=list)


async def _nobody_cares(_: Collection[tuple[str, str, int]]) -> None:
    return None


class GuardedRecognition:
    """``RecognitionService`` around which releases in quarantine are left out. Each result gets a key ``instead_of``."""

    def __init__(
        self,
        service: RecognitionService,
        quarantine: Quarantine,
        used: Callable[[Collection[tuple[str, str, int]]], Awaitable[None]] = _nobody_cares,
    ) -> None:
        """Args: used: told which releases, (disease, model, version), recognised something."""
        self._service = service
        self._quarantine = quarantine
        self._used = used

    async def recognise(
        self,
        pictures: Sequence[Picture],
        releases: Sequence[ReleaseManifest],
        case: str | None,
        explain: ExplanationFiles | None = None,
    ) -> GuardedFindings:
        """Results for every picture and release that runs; all pictures are done again where a release died over one,
        so that each disease is judged by one version.

        Raises:
            EdgeError: ``worker.*`` where no release is left to run; else as the service.
            ProtocolError: as the service.
        """
        running, refused = await self._admitted(releases)
        while True:
            try:
                findings = await self._service.recognise(pictures, running, case, explain)
            except ModelDiedError as died:
                running = await self._without(running, died, refused)
            else:
                break
        await self._used({(r.disease, r.model, r.version) for r in running})
        marks = await self._quarantine.marks()
        for result in findings.results:
            result["instead_of"] = _instead_of(result, marks)
        return GuardedFindings(**{f.name: getattr(findings, f.name) for f in fields(Findings)}, quarantined=refused)

    async def heat(self, picture: Picture, release: ReleaseManifest) -> dict[str, NDArray[np.float32]] | None:
        """As the service; a release that dies over it goes into quarantine.

        Raises:
            EdgeError: ``worker.*``; else as the service.
            ProtocolError: as the service.
        """
        (admitted,), _ = await self._admitted([release])
        try:
            return await self._service.heat(picture, admitted)
        except ModelDiedError as died:
            await self._quarantine.add(died.manifest, died)
            raise

    async def _admitted(self, releases: Sequence[ReleaseManifest]) -> tuple[list[ReleaseManifest], list[EdgeError]]:
        """The releases that may run, and why the others may not.

        Raises:
            EdgeError: the first of these, where none is left.
        """
        marks = {(mark.disease, mark.name): mark for mark in await self._quarantine.marks()}
        admitted: list[ReleaseManifest] = []
        refused: list[EdgeError] = []
        for release in releases:
            mark = marks.get((release.disease, release.name))
            if mark is None:
                admitted.append(release)
            else:
                refused.append(refusal(mark))
        if refused and not admitted:
            raise refused[0]
        return admitted, refused

    async def _without(
        self, running: Sequence[ReleaseManifest], died: ModelDiedError, refused: list[EdgeError]
    ) -> list[ReleaseManifest]:
        """Put a release into quarantine; what is to run without it.

        Raises:
            ModelDiedError: nothing is left.
        """
        stand_in = await self._quarantine.add(died.manifest, died)
        if stand_in is None:
            refused.append(died)
        is_new = stand_in is not None and all(release.name != stand_in.name for release in running)
        left = []
        for release in running:
            if release is not died.manifest:
                left.append(release)
            elif stand_in is not None and is_new:
                left.append(stand_in)
        if not left:
            raise died
        return left


def _instead_of(result: dict[str, Any], marks: Sequence[Quarantined]) -> dict[str, Any] | None:
    """The later release in quarantine for which this result's release stands in."""
    of = (result["disease"], result["release"]["model"])
    later = [m for m in marks if (m.disease, m.model) == of and m.version > result["release"]["version"]]
    if not later:
        return None
    mark = max(later, key=lambda m: m.version)
    return {"release": mark.name, "code": mark.code, "since": mark.since.isoformat(timespec="seconds")}
