"""Writing the CSV table of ``rows``: UTF-8 with a mark, since spreadsheets otherwise guess a local encoding."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from disease_kb.importers.csv_table import FORMULA_STARTS
from disease_kb.model import Entry
from disease_kb.rows import COLUMNS, to_rows


def csv_table(entries: Iterable[Entry]) -> bytes:
    """Return the table of all entries; no cell is one that a spreadsheet would run as a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    for entry in entries:
        writer.writerows({key: _guarded(value) for key, value in row.items()} for row in to_rows(entry))
    return text.getvalue().encode("utf-8-sig")


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
