"""One answer: keeping it, explaining it, the clinician's word, the clinic's reference, the sheet for the next clinician."""

from __future__ import annotations

from dataclasses import replace

from edge_node.ui import wording
from edge_node.ui.presenter.core import Part
from edge_node.ui.state import ResultState
from edge_node.ui.values import Finding, PastCase, Photo, Prepared, Shelf
from protocols.imaging import Box


class Results(Part):
    """The answer on the screen."""

    def show(self, finding: Finding, photo: Photo, box: Box | None, prepared: Prepared | None) -> None:
        """Show a fresh answer and keep it."""
        self.board.change(result=ResultState(finding, photo, box, prepared))
        self.board.go("result")
        if self.services.history is not None and not finding.id:
            self.errands.start("record", self._record(finding, photo, box))
        if self.services.explainer is not None and wording.answers(finding):
            self.board.alter("result", explaining=True)
            self.errands.start(
                "explain", self._explain(finding, photo, box), lambda: self.board.alter("result", explaining=False)
            )

    def show_screened(self, finding: Finding) -> None:
        """Show one of the answers of a screening."""
        chosen = self.state.photo
        if chosen.photo is not None:
            self.show(finding, chosen.photo, chosen.box, chosen.prepared)

    def show_past(self, case: PastCase) -> None:
        """Show an answer from the history, with the copy of its picture where one was kept."""
        if case.finding is not None:
            reference = dict(self.state.history.references).get(case.id, "")
            finding = replace(case.finding, id=case.id)
            self.board.change(
                result=ResultState(finding, kept=case.picture, confirmed=case.confirmed, reference=reference)
            )
            self.board.go("result")

    async def _record(self, finding: Finding, photo: Photo, box: Box | None) -> None:
        assert self.services.history is not None
        kept = await self.services.history.record(photo, box, finding)
        named = replace(finding, id=kept.id)
        if self.state.result.finding == finding:
            self.board.alter("result", finding=named, key_in_file=kept.key_in_file)
        screened = tuple(named if found == finding else found for found in self.state.screening.findings)
        self.board.alter("screening", findings=screened)

    async def _explain(self, finding: Finding, photo: Photo, box: Box | None) -> None:
        assert self.services.explainer is not None
        heat = await self.services.explainer.explain(photo, box, finding)
        if self.state.result.photo == photo:
            self.board.alter("result", heat=heat)

    def confirm(self, label: str) -> None:
        """The clinician says what it is."""
        finding = self.state.result.finding
        if self.services.history is not None and finding is not None and finding.id:
            self.errands.start("confirm", self._confirm(finding.id, label))

    async def _confirm(self, result: str, label: str) -> None:
        assert self.services.history is not None
        await self.services.history.confirm(result, label)
        finding = self.state.result.finding
        if finding is not None and finding.id == result:
            self.board.alter("result", confirmed=label)

    def set_reference(self, text: str) -> None:
        """Note the clinic's own reference; it stays on this device."""
        finding = self.state.result.finding
        if finding is not None and finding.id:
            self.errands.start("reference", self._set_reference(finding.id, text.strip()))

    async def _set_reference(self, result: str, text: str) -> None:
        await self.services.vault.set_reference(result, text)
        self.board.alter("result", reference=text)

    def refer(self) -> None:
        """Write the sheet for the next clinician."""
        finding = self.state.result.finding
        if finding is not None:
            self.errands.start("sheet", self._refer(finding))

    async def _refer(self, finding: Finding) -> None:
        shelf = self.state.shelf
        name = (shelf or Shelf()).name(finding.disease)
        path = await self.services.referrals.write(finding, name, self.state.language)
        self.board.alter("result", sheet=path)
