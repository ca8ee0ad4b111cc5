"""The history as a file: a CSV table, or a FHIR bundle. Written whole or not at all, readable by its owner only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_node.errors import EdgeError
from edge_node.files import replacing
from edge_node.knowledge.lookup import KnowledgeSource
from edge_node.outbox.history import History, Remembered
from edge_node.outbox.report import report_of
from protocols.errors import ProtocolError
from protocols.results.exporting import CsvForm, FhirForm, Form, Reported
from protocols.results.fhir import Term

_CASE = ("case", "image")


@dataclass(frozen=True)
class Exported:
    """How many results were written, and how many could not be: damaged, or of a form that reports do not have."""

    results: int
    left_out: int

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


async def export_history(
    history: History,
    out: Path,
    form: str,
    disease: str | None,
    knowledge: KnowledgeSource,
    now: datetime,
    *,
    with_case: bool,
    force: bool,
) -> Exported:
    """Write the results, the newest first.

    Args:
        history: what to write.
        out: the file.
        form: ``csv`` or ``fhir``.
        disease: only this one; None: all.
        knowledge: names and codes for a FHIR export.
        now: stamped on a FHIR bundle.
        with_case: put case reference and file name into a CSV table.
        force: replace a file that is there.

    Raises:
        EdgeError: ``results.export_exists``; or as the history.
    """
    if not force:
        _refuse_to_overwrite(out)
    terms = _Terms(knowledge)
    writer: Form = CsvForm(_CASE if with_case else ()) if form == "csv" else FhirForm(terms, now)
    written = left_out = 0
    with replacing(out, mode=0o600) as file:
        file.write(writer.head().encode())
        async for item in history.every():
            if item is not None and disease not in (None, item.result["disease"]):
                continue
            reported = None if item is None else _reported(item, with_case=with_case)
            if reported is None:
                left_out += 1
                continue
            await terms.learn(reported)
            file.write(writer.item(reported).encode())
            written += 1
        file.write(writer.tail().encode())
    return Exported(written, left_out)


def _refuse_to_overwrite(out: Path) -> None:
    if out.exists():
        raise EdgeError("results.export_exists", path=out)


def _reported(item: Remembered, *, with_case: bool) -> Reported | None:
    try:
        report = report_of(item.result, item.made)
    except ProtocolError:
        return None
    origin = (item.result.get("case", ""), item.result["image"]) if with_case else ()
    return Reported(report, item.word, origin)


class _Terms:
    """Names and codes of the knowledge base, looked up once each."""

    def __init__(self, knowledge: KnowledgeSource) -> None:
        self._knowledge = knowledge
        self._known: dict[str, Term | None] = {}

    def __call__(self, entry: str) -> Term | None:
        return self._known.get(entry)

    async def learn(self, reported: Reported) -> None:
        """Look up what a result speaks of."""
        entries = {score.entry for score in reported.report.scores}
        if reported.confirmation is not None:
            entries.add(reported.confirmation.entry)
        if unknown := {x for x in entries if x is not None} - set(self._known):
            answer = await self._knowledge.lookup(unknown)
            found = {} if answer is None else answer.entries
            self._known |= {x: Term.of_aid(found[x]) if x in found else None for x in unknown}
