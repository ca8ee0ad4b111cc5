"""What this site decided about releases: taken or declined, by its own images or by a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from edge_node.acceptance.comparison import Comparison
from edge_node.cache.releases import Releases
from protocols.artifacts import Artifact
from protocols.heartbeat import Comparison as Figures
from protocols.heartbeat import Decline

Reason = Literal["worse_here", "failed", "by_hand"]


@dataclass(frozen=True)
class Decision:
    """A decision that is in force until a newer version is judged.

    Attributes:
        disease, model, version: the release that it is about.
        declined: whether it must not become the active one; else a person, or a floor of the publisher's, let it in.
        reason: why, for programs.
        words: a person's own reason; it stays on this machine.
        against: the version that was in use; 0: none.
        figures: of the comparison, where there was one.
        data: what changes with the labelled images.
        judged: when.
        files: of the release, the manifest first; kept while there is room.
    """

    disease: str
    model: str
    version: int
    declined: bool
    reason: Reason
    words: str
    against: int
    figures: Comparison | None
    data: str
    judged: datetime
    files: tuple[Artifact, ...]

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"

    def document(self) -> dict[str, Any]:
        """As ``status``, ``models`` and ``pull`` show it."""
        return {
            "disease": self.disease,
            "release": self.name,
            "declined": self.declined,
            "reason": self.reason,
            "words": self.words,
            "against": f"{self.model}@{self.against}" if self.against else None,
            "figures": None if self.figures is None else self.figures.document(),
            "judged": self.judged.isoformat(timespec="seconds"),
        }


class Acceptances(Releases):
    """Installed releases, and the decisions about them and about others."""

    async def decisions(self) -> list[Decision]:
        """All that are in force."""
        rows = await self._file.rows(
            """SELECT disease, model, version, declined, reason, words, against, figures, data, judged, files
            FROM acceptance ORDER BY disease, model, version"""
        )
        return [
            Decision(
                disease,
                model,
                version,
                bool(declined),
                reason,
                words,
                against,
                None if figures is None else Comparison(**json.loads(figures)),
                data,
                datetime.fromisoformat(judged),
                tuple(Artifact.from_document(document) for document in json.loads(files)),
            )
            for disease, model, version, declined, reason, words, against, figures, data, judged, files in rows
        ]

    async def declines(self) -> list[Decline]:
        """What this node does not bring into use, for the heartbeat: names and figures, never a person's words."""
        return [_decline(decision) for decision in await self.decisions() if decision.declined]

    async def decide(self, decision: Decision, *, go_back: bool = False) -> None:
        """Put a decision in force, in the place of any about this or a lower version; with ``go_back`` the version before the
        active one takes its place in the same moment.
        """
        d = decision
        figures = None if d.figures is None else json.dumps(vars(d.figures))
        files = json.dumps([artifact.document() for artifact in d.files])
        judged = d.judged.isoformat(timespec="seconds")
        async with self._file.transaction():
            await self._file.run(
                "DELETE FROM acceptance WHERE disease = ? AND model = ? AND version <= ?",
                (d.disease, d.model, d.version),
            )
            await self._file.run(
                "INSERT INTO acceptance VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    d.disease,
                    d.model,
                    d.version,
                    d.declined,
                    d.reason,
                    d.words,
                    d.against,
                    figures,
                    d.data,
                    judged,
                    files,
                ),
            )
            if go_back:
                await self._exchange(d.disease, d.model)

    async def forget_decision(self, disease: str, model: str, version: int) -> None:
        """Take a decision back."""
        async with self._file.transaction():
            await self._file.run(
                "DELETE FROM acceptance WHERE disease = ? AND model = ? AND version = ?", (disease, model, version)
            )

    async def let_go_of_declined(self) -> list[Artifact]:
        """No longer hold the files of declined releases; returns them. They can be fetched again."""
        held = [artifact for decision in await self.decisions() for artifact in decision.files]
        async with self._file.transaction():
            await self._file.run("UPDATE acceptance SET files = '[]'")
        return held

    async def needed(self) -> set[str]:
        """Beside what installed releases need, the files that are held of declined ones."""
        held = [artifact for decision in await self.decisions() for artifact in decision.files]
        chunks = {artifact.chunks for artifact in held if artifact.chunks is not None}
        return await super().needed() | {artifact.sha256 for artifact in held} | chunks


def _decline(decision: Decision) -> Decline:
    figures = decision.figures
    if decision.reason != "worse_here" or figures is None or figures.candidate is None:
        return Decline(decision.disease, decision.name, decision.reason)
    assert figures.active is not None and figures.low is not None and figures.high is not None
    detail = Figures(figures.candidate, figures.active, figures.low, figures.high, figures.n, figures.groups)
    return Decline(decision.disease, decision.name, decision.reason, detail)
