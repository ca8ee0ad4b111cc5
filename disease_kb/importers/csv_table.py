"""Reading the CSV table of ``rows``, as spreadsheets save it: UTF-8 with or without a mark, UTF-16, or GBK."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from disease_kb.errors import KnowledgeBaseError, UnreadableSourceError
from disease_kb.model import Entry
from disease_kb.rows import COLUMNS, Row, from_rows

# A cell that a spreadsheet would run as a formula is written behind an apostrophe.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n", "'")


@dataclass(frozen=True, slots=True)
class Table:
    """The entries of a table, its bad rows, and the encoding that it turned out to have."""

    entries: tuple[Entry, ...]
    problems: tuple[KnowledgeBaseError, ...]
    encoding: str


def read_csv(data: bytes, source: str) -> Table:
    """Read a table; rows are numbered as in the file, the header being line 1.

    Raises:
        UnreadableSourceError: no known encoding, a wrong header, or a quote that never ends.
    """
    text, encoding = _decoded(data, source)
    if (at := text.find("\x00")) >= 0:
        raise UnreadableSourceError("kb.csv.nul", source=source, row=text.count("\n", 0, at) + 1)
    entries, problems = from_rows(_rows(text, source))
    return Table(tuple(entries), tuple(problems), encoding)


def _decoded(data: bytes, source: str) -> tuple[str, str]:
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding), encoding.removesuffix("-sig")
        except UnicodeDecodeError:
            continue
    raise UnreadableSourceError("kb.file.encoding", source=source, position=0)


def _rows(text: str, source: str) -> Iterator[tuple[int, Row]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, source)
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                if len(cells) > len(header) and any(cells[len(header) :]):
                    raise UnreadableSourceError("kb.csv.width", source=source, row=line)
                yield line, {name: _unguarded(cell) for name, cell in zip(header, cells, strict=False)}
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableSourceError("kb.csv.broken", source=source, row=line, problem=str(error)) from error


def _check_header(header: list[str], source: str) -> None:
    unknown = [name[:40] for name in header if name not in COLUMNS]
    missing = [name for name in ("entry", "record") if name not in header]
    twice = [name for name in header if header.count(name) > 1]
    if unknown or missing or twice:
        names = ", ".join(dict.fromkeys(unknown[:5] + missing + twice))
        raise UnreadableSourceError("kb.csv.header", source=source, names=names)


def _unguarded(cell: str) -> str:
    # Spreadsheets may save line ends inside a cell as CR LF.
    cell = cell.replace("\r\n", "\n")
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
