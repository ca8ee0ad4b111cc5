"""The history, with search over case references, diseases and labels."""

from __future__ import annotations

from collections.abc import Mapping

from edge_node.ui.presenter.core import Part
from edge_node.ui.presenter.results import Results
from edge_node.ui.state import HistoryState
from edge_node.ui.values import PastCase, Shelf

_MOST_CASES = 500


class Past(Part):
    """Looking back."""

    def open(self) -> None:
        """Show the latest results."""
        self.board.change(history=HistoryState())
        self.board.switch("history")
        if self.services.history is not None:
            self.errands.start("history", self._load())

    async def _load(self) -> None:
        assert self.services.history is not None
        references = await self.services.vault.references()
        cases = await self.services.history.find(_MOST_CASES)
        self.board.alter("history", cases=tuple(cases), references=tuple(references.items()))

    def search(self, text: str) -> None:
        """Show what fits."""
        self.board.alter("history", query=text)

    def read(self, results: Results, result: str) -> None:
        """Show one result again."""
        self.errands.start("case", self._read(results, result))

    async def _read(self, results: Results, result: str) -> None:
        assert self.services.history is not None
        case = await self.services.history.get(result)
        if case is not None:
            results.show_past(case)


def matching(
    cases: tuple[PastCase, ...], references: Mapping[str, str], query: str, shelf: Shelf | None
) -> list[PastCase]:
    """The cases whose reference, disease or labels hold every word of the query."""
    words = query.casefold().split()
    if not words:
        return list(cases)
    found = []
    for case in cases:
        names = " ".join(shelf.name(case.disease).values()) if shelf else ""
        day = case.when.astimezone().strftime("%Y-%m-%d")
        said = " ".join((*case.name.values(), case.confirmed or "", *case.confirmed_name.values()))
        text = f"{references.get(case.id, '')} {case.disease} {names} {said} {day}".casefold()
        if all(word in text for word in words):
            found.append(case)
    return found
