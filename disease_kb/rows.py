"""Between entries and the rows of a table, without loss: one row a fact, so that translators can use a spreadsheet.

``record`` says what a row is: ``entry`` (exactly one), ``review``, ``urgency``, ``code``, ``label``, ``text``
or ``citation``. Lists stand in one cell, separated by ``|`` (``\\|`` and ``\\\\`` inside an item).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from disease_kb.document import from_document, to_document
from disease_kb.errors import KnowledgeBaseError
from disease_kb.model import Entry

COLUMNS = (
    "entry",
    "record",
    "field",
    "zh",
    "en",
    "cite",
    "register",
    "evidence",
    "translation",
    "label",
    "context",
    "system",
    "code",
    "match",
    "key",
    "title",
    "publisher",
    "year",
    "kind",
    "level",
    "status",
    "by",
    "on",
    "version",
    "updated",
    "licence",
    "provenance",
    "external",
    "parents",
    "modality",
)
_LISTS = frozenset({"cite", "parents", "modality"})
_NUMBERS = frozenset({"year", "version"})
_SECTIONS = {"code": "codes", "label": "labels", "text": "texts"}
_TABLES = ("review", "urgency")
_KEYS = ("entry", "record")

Row = Mapping[str, str]


def to_rows(entry: Entry) -> list[dict[str, str]]:
    """Return the rows of one entry; empty cells are left out."""
    document = to_document(entry)
    citations = document.pop("citations", {})
    tables = {name: document.pop(name, {}) for name in _TABLES}
    sections = {record: document.pop(section, []) for record, section in _SECTIONS.items()}
    rows = [_row(document.pop("id"), "entry", document)]
    rows += [_row(entry.id, name, table) for name, table in tables.items() if table]
    rows += [_row(entry.id, record, item) for record, items in sections.items() for item in items]
    rows += [_row(entry.id, "citation", {"key": key, **source}) for key, source in citations.items()]
    return rows


def from_rows(rows: Iterable[tuple[int, Row]]) -> tuple[list[Entry], list[KnowledgeBaseError]]:
    """Build entries from numbered rows, in any order; an entry with a bad row is left out and the row named."""
    gathered: dict[str, _Gathered] = {}
    problems: list[KnowledgeBaseError] = []
    for number, row in rows:
        name = row.get("entry", "")
        gather = gathered.setdefault(name, _Gathered(name))
        try:
            gather.add(number, row)
        except KnowledgeBaseError as error:
            gather.bad = True
            problems.append(error)
    entries: list[Entry] = []
    for gather in gathered.values():
        if gather.bad:
            continue
        try:
            entries.append(from_document(gather.document))
        except KnowledgeBaseError as error:
            where = str(error.details.get("where", ""))
            error.details |= {"row": gather.row_of(where), "where": f"{where} (row {gather.row_of(where)})"}
            problems.append(error)
    return entries, problems


@dataclass
class _Gathered:
    """The document of one entry while its rows arrive."""

    name: str
    document: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)  # place in the document → row
    bad: bool = False

    def add(self, number: int, row: Row) -> None:
        """Take one row.

        Raises:
            KnowledgeBaseError: what is wrong with it.
        """
        record = row.get("record", "")
        self.numbers.setdefault("", number)
        if not self.name:
            raise KnowledgeBaseError("kb.csv.no_entry", entry="?", row=number)
        cells = {key: self._value(number, key, cell) for key, cell in row.items() if cell and key not in _KEYS}
        place, key = _SECTIONS.get(record, record), ""
        if record in _SECTIONS:
            section = self.document.setdefault(place, [])
            key = f"{place}[{len(section)}]"
            section.append(cells)
        elif record == "citation":
            name = str(cells.pop("key", ""))
            key = f"citations.{name}"
            self._once(number, self.document.setdefault("citations", {}), name, cells)
        elif record in _TABLES:
            key = record
            self._once(number, self.document, record, cells)
        elif record == "entry":
            self._once(number, self.document, "id", self.name)
            self.document |= cells
        else:
            raise KnowledgeBaseError("kb.csv.record", entry=self.name[:80], row=number, value=record[:40])
        self.numbers[key] = self.numbers.get(key, number)

    def row_of(self, where: str) -> int:
        """Return the row that holds a place such as ``texts[3].zh``; else the entry's first."""
        places = [place for place in self.numbers if place and where.startswith(place)]
        return self.numbers[max(places, key=len, default="")]

    def _once(self, number: int, table: dict[str, Any], key: str, value: Any) -> None:
        if not key or key in table:
            raise KnowledgeBaseError("kb.csv.twice", entry=self.name[:80], row=number, value=key[:80])
        table[key] = value

    def _value(self, number: int, column: str, cell: str) -> Any:
        if column in _LISTS:
            return _parted(cell)
        if column in _NUMBERS:
            if not re.fullmatch(r"[0-9]{1,9}", cell):
                raise KnowledgeBaseError("kb.csv.number", entry=self.name[:80], row=number, column=column)
            return int(cell)
        if column == "external" and cell.lower() in ("true", "false"):
            return cell.lower() == "true"
        return cell


def _row(name: str, record: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {"entry": name, "record": record, **{key: _cell(value) for key, value in values.items() if value != ""}}


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(item.replace("\\", "\\\\").replace("|", "\\|") for item in value)
    return "true" if value is True else str(value)


def _parted(cell: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", item, flags=re.S) for item in re.findall(r"(?:\\.|[^|\\])+", cell, flags=re.S)]
