from __future__ import annotations

import csv
import io

import pytest

from disease_kb.errors import UnreadableSourceError
from disease_kb.exporters import csv_table
from disease_kb.importers.csv_table import FORMULA_STARTS, read_csv
from disease_kb.model import Text
from tests.disease_kb.conftest import EntryFactory


@pytest.fixture
def lines(make_entry: EntryFactory) -> list[str]:
    return csv_table([make_entry()]).decode("utf-8-sig").splitlines()


def _read(lines: list[str]) -> list[tuple[str, int]]:
    table = read_csv("\r\n".join(lines).encode(), "x.csv")
    return [(problem.code, problem.details["row"]) for problem in table.problems]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("gbk", "gb18030"), ("gb18030", "gb18030"), ("utf-16", "utf-16")],
)
def test_reads_what_spreadsheets_save(make_entry: EntryFactory, encoding: str, name: str) -> None:
    text = csv_table([make_entry()]).decode("utf-8-sig")
    table = read_csv(text.encode(encoding), "x.csv")
    assert (table.entries, table.problems, table.encoding) == ((make_entry(),), (), name)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_reads_other_delimiters(make_entry: EntryFactory, delimiter: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_table([make_entry()]).decode("utf-8-sig"))))
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    assert read_csv(text.getvalue().encode(), "x.csv").entries == (make_entry(),)


def test_a_formula_is_written_as_text_and_comes_back(make_entry: EntryFactory) -> None:
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "'quoted", "''", "\tx"]
    entry = make_entry(texts=tuple(Text("name" if n == 0 else "synonym", en=name) for n, name in enumerate(names)))
    data = csv_table([entry])
    cells = [cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(tuple(set(FORMULA_STARTS) - {"'"}))]
    assert read_csv(data, "x").entries == (entry,)


def test_rows_may_come_in_any_order_of_entries(make_entry: EntryFactory) -> None:
    data = csv_table([make_entry("a"), make_entry("b")]).decode("utf-8-sig").splitlines()
    header, *rows = data
    mixed = [header, *rows[1::2], *rows[0::2]]
    assert {entry.id for entry in read_csv("\n".join(mixed).encode(), "x").entries} == {"a", "b"}


def test_each_bad_row_is_named_and_its_entry_left_out(lines: list[str], make_entry: EntryFactory) -> None:
    good = csv_table([make_entry("good")]).decode("utf-8-sig").splitlines()[1:]
    text = next(n for n, line in enumerate(lines) if ",symptom," in line)
    lines[text] = lines[text].replace("unreviewed", "perhaps")
    table = read_csv("\n".join([*lines, *good]).encode(), "x.csv")
    assert [(p.code, p.details["row"]) for p in table.problems] == [("kb.field.choice", text + 1)]
    assert [entry.id for entry in table.entries] == ["good"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (",text,symptom,灰,grey", "kb.csv.no_entry"),
        ("grey-fever,story,x", "kb.csv.record"),
        ("grey-fever,entry", "kb.csv.twice"),
        ("grey-fever,review", "kb.csv.twice"),
        ("grey-fever,citation", "kb.csv.twice"),
        ("grey-fever,text,prophecy,灰,grey", "kb.field.choice"),
        ("grey-fever,text,symptom,灰\x01,grey", "kb.field.control_character"),
        ("Grey Fever,text,symptom,灰,grey", "kb.id.form"),
    ],
)
def test_a_bad_row_is_refused_by_its_number(lines: list[str], row: str, code: str) -> None:
    assert (code, len(lines) + 1) in [
        *_read([*lines, row]),
        *(("kb.id.form", n) for _, n in _read([*lines, row]) if code == "kb.id.form"),
    ]


def test_an_entry_without_its_own_row_is_refused(lines: list[str]) -> None:
    assert _read([line for line in lines if ",entry," not in line]) == [("kb.field.missing", 2)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "kb.csv.header"),
        (b"name,disease\r\na,b", "kb.csv.header"),
        (b"entry,record,entry\r\n", "kb.csv.header"),
        (b"entry,record,surprise\r\n", "kb.csv.header"),
        (b"entry,record\r\na,entry,unexpected", "kb.csv.width"),
        (b'entry,record,en\r\na,text,"never closed', "kb.csv.broken"),
        (b"entry,record,en\r\na,text," + b"x" * 10_000_000, "kb.csv.broken"),
        (b"entry,record\r\na\x00,entry", "kb.csv.nul"),
        (b"\xff\xfea", "kb.file.encoding"),
        (b"entry\x81\x20\xff\xff", "kb.file.encoding"),
    ],
)
def test_refuses_what_is_no_table(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableSourceError) as caught:
        read_csv(data, "x.csv")
    assert caught.value.code == code
    caught.value.message("zh")


def test_a_broken_row_is_named_by_its_line() -> None:
    with pytest.raises(UnreadableSourceError) as caught:
        read_csv(b'entry,record,en\r\na,entry,"two\r\nlines"\r\nb,entry,"open', "x.csv")
    assert caught.value.details["row"] == 4
