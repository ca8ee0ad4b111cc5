"""What an export holds of each result, and the two forms: a CSV table for spreadsheets, a FHIR bundle for hospitals."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protocols.results.fhir import Term, diagnostic_report
from protocols.results.report import Confirmation, ResultReport

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "'")
_COLUMNS = (
    *("id", "made", "disease", "release", "outcome", "reasons", "label", "score", "prediction_set", "novelty"),
    *("blur", "sharpness", "exposure", "quality_ok", "confirmed_label", "confirmed_made"),
)


@dataclass(frozen=True)
class Reported:
    """A result, the clinician's last word on it, and what only the exporting side knows (node and site, or the case)."""

    report: ResultReport
    confirmation: Confirmation | None
    origin: tuple[str, ...] = ()


class Form(Protocol):
    """Text of an export, to be written piece by piece: it may be long."""

    def head(self) -> str:
        """What stands before the first result."""
        ...

    def item(self, reported: Reported) -> str:
        """One result."""
        ...

    def tail(self) -> str:
        """What stands after the last result."""
        ...


class CsvForm:
    """One line a result; no cell is one that a spreadsheet would run as a formula."""

    def __init__(self, origin: Sequence[str]) -> None:
        """Args: origin: headings of ``Reported.origin``."""
        self._origin = tuple(origin)

    def head(self) -> str:
        """The heading; the mark keeps spreadsheets from guessing a local encoding."""
        return "\ufeff" + _line((*self._origin, *_COLUMNS))

    def item(self, reported: Reported) -> str:
        """One line."""
        report, word = reported.report, reported.confirmation
        cells = (
            report.id,
            report.made.isoformat(),
            report.disease,
            report.release,
            report.outcome,
            " ".join(report.reasons),
            report.scores[0].label,
            report.scores[0].score,
            " | ".join(report.prediction_set),
            "" if report.novelty is None else report.novelty,
            report.blur,
            report.sharpness,
            report.exposure,
            str(report.quality_ok).lower(),
            "" if word is None else word.label,
            "" if word is None else word.made.isoformat(),
        )
        return _line((*reported.origin, *cells))

    def tail(self) -> str:
        """Nothing."""
        return ""


class FhirForm:
    """A FHIR R4B bundle of diagnostic reports. ``Reported.origin`` stays out of it."""

    def __init__(self, terms: Callable[[str], Term | None], now: datetime) -> None:
        """Args: terms: names and codes of a knowledge base entry, where it is at hand."""
        self._terms = terms
        self._now = now
        self._is_empty = True  # FHIR knows no empty lists

    def head(self) -> str:
        """The bundle up to its entries."""
        start = {"resourceType": "Bundle", "type": "collection", "timestamp": self._now.isoformat(timespec="seconds")}
        return json.dumps(start)[:-1]

    def item(self, reported: Reported) -> str:
        """One entry."""
        resource = diagnostic_report(reported.report, reported.confirmation, self._terms)
        entry = {"fullUrl": resource["identifier"][0]["value"], "resource": resource}
        before = ', "entry": [' if self._is_empty else ","
        self._is_empty = False
        return f"{before}\n{json.dumps(entry, ensure_ascii=False)}"

    def tail(self) -> str:
        """The end of the bundle."""
        return "}\n" if self._is_empty else "\n]}\n"


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow([_guarded(cell) for cell in cells])
    return text.getvalue()


def _guarded(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
