"""The SQL that puts entries into the database, in the caller's transaction, and what the index holds of each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import aiosqlite

from disease_kb.document import canonical_json, digest
from disease_kb.errors import ConflictError
from disease_kb.model import Entry
from disease_kb.search import normal_code
from disease_kb.tokens import index_text, name_forms, normal_form

_BATCH = 500  # entries whose rows are in memory at once


async def check_unchanged(connection: aiosqlite.Connection, names: Iterable[str], expected: Mapping[str, str]) -> None:
    """Refuse if an entry's digest is not the expected one.

    Raises:
        ConflictError: it names the entry.
    """
    rows = await connection.execute_fetchall("SELECT id, digest FROM entry")
    present: dict[str, str] = {row[0]: row[1] for row in rows}
    for name in names:
        if present.get(name) != expected.get(name):
            raise ConflictError("kb.store.changed", entry=name)


async def remove_entries(connection: aiosqlite.Connection, names: Iterable[str]) -> None:
    """Remove entries and all that follows from them; unknown ids are passed over."""
    keys = [(name,) for name in names]
    await connection.executemany("DELETE FROM word WHERE rowid = (SELECT number FROM entry WHERE id = ?)", keys)
    await connection.executemany("DELETE FROM entry WHERE id = ?", keys)


async def put_entries(connection: aiosqlite.Connection, entries: Collection[Entry], from_seed: bool) -> None:
    """Add entries, replacing those with the same ids; the seed's digest of a replaced entry stays with it."""
    rows = await connection.execute_fetchall("SELECT id, seed_digest FROM entry")
    seeds: dict[str, str | None] = {row[0]: row[1] for row in rows}
    await remove_entries(connection, [entry.id for entry in entries if entry.id in seeds])
    last = next(iter(await connection.execute_fetchall("SELECT coalesce(max(number), 0) FROM entry")))[0]
    numbered = list(enumerate(entries, last + 1))
    for start in range(0, len(numbered), _BATCH):
        batch = numbered[start : start + _BATCH]
        await _insert(connection, "entry", [_entry_row(n, e, from_seed, seeds.get(e.id)) for n, e in batch])
        await _insert(connection, "term", [(*term, n) for n, e in batch for term in _terms(e)])
        await _insert(
            connection, "code", [(normal_code(c.code), c.system, c.match, n) for n, e in batch for c in e.codes]
        )
        await connection.executemany(
            "INSERT INTO word (rowid, name, synonym, sign, body) VALUES (?, ?, ?, ?, ?)",
            [(n, *_words(e)) for n, e in batch],
        )


async def _insert(connection: aiosqlite.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        await connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _entry_row(number: int, entry: Entry, from_seed: bool, seed_digest: str | None) -> tuple[Any, ...]:
    value = digest(entry)
    return (
        number,
        entry.id,
        entry.kind,
        entry.review.status,
        entry.urgency.level if entry.urgency else "none",
        entry.name.zh,
        entry.name.en,
        json.dumps([(c.system, c.code, c.match) for c in entry.codes], ensure_ascii=False, separators=(",", ":")),
        value,
        value if from_seed else seed_digest,
        canonical_json(entry),
    )


def _terms(entry: Entry) -> list[tuple[str, str]]:
    """Return what finds an entry by being equal to the query: normal form and source."""
    terms: list[tuple[str, str]] = []
    for text in entry.texts:
        if text.field in ("name", "synonym"):
            terms += [(form, text.field) for form in name_forms(text.zh) + name_forms(text.en)]
    terms += [(form, "label") for label in entry.labels if (form := normal_form(label.label))]
    return list(dict.fromkeys(terms))


def _words(entry: Entry) -> tuple[str, str, str, str]:
    """Return the columns of the full-text index."""
    columns: dict[str, list[str]] = {"name": [], "synonym": [], "sign": [], "body": []}
    column_of = {"name": "name", "synonym": "synonym", "symptom": "sign", "image_sign": "sign"}
    for text in entry.texts:
        columns[column_of.get(text.field, "body")] += [text.zh, text.en]
    columns["body"] += [label.label for label in entry.labels]
    name, synonym, sign, body = (index_text("\n".join(texts)) for texts in columns.values())
    return name, synonym, sign, body
