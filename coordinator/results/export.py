"""Results as a file: a CSV table, or a FHIR bundle. Written whole or not at all."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.errors import CoordinatorError
from coordinator.results.store import Chosen, Results
from coordinator.store.blobs import replacing
from disease_kb.model import Entry
from protocols.results.exporting import CsvForm, FhirForm, Form, Reported
from protocols.results.fhir import Term

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase

_ORIGIN = ("node", "site", "received")


async def export_results(
    results: Results, chosen: Chosen, out: Path, form: str, knowledge: KnowledgeBase, now: datetime, *, force: bool
) -> int:
    """Write the chosen results in the order of arrival; returns how many.

    Args:
        results: where they are.
        chosen: which.
        out: the file, in a folder that exists.
        form: ``csv`` or ``fhir``.
        knowledge: names and codes for a FHIR export.
        now: stamped on a FHIR bundle.
        force: replace a file that is there.

    Raises:
        CoordinatorError: ``results.export_exists``.
    """
    if not force:
        _refuse_to_overwrite(out)
    terms = {entry.id: _term(entry) for entry in await knowledge.entries()} if form == "fhir" else {}
    writer: Form = CsvForm(_ORIGIN) if form == "csv" else FhirForm(terms.get, now)
    written = 0
    with replacing(out) as file:
        file.write(writer.head().encode())
        async for result in results.every(chosen):
            origin = (result.node, result.site, result.received)
            file.write(writer.item(Reported(result.report, result.word, origin)).encode())
            written += 1
        file.write(writer.tail().encode())
        since = None if chosen.since is None else chosen.since.isoformat(timespec="seconds")
        told = {"format": form, "disease": chosen.disease, "since": since, "results": written}
        await results.exported(told, now)  # before the file gets its name: nothing leaves without a record
    return written


def _refuse_to_overwrite(out: Path) -> None:
    if out.exists():
        raise CoordinatorError("results.export_exists", path=out)


def _term(entry: Entry) -> Term:
    return Term(entry.name.en or entry.name.zh, tuple((c.system, c.code, c.match) for c in entry.codes))
