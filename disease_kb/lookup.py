"""The SQL of search: runs what ``search`` decides and puts the rows into order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiosqlite

from disease_kb.model import Code
from disease_kb.search import (
    CODE_ABOVE_SCORE,
    CODE_BELOW_SCORE,
    CORRECTED_FACTOR,
    EXACT_SCORE,
    NAME_SCORE,
    PARTIAL_FACTOR,
    RETIRED_FACTOR,
    SIMILAR_SCORE,
    TEXT_SCORE,
    Hit,
    Query,
    between,
    codes_above,
    correct,
    holds,
    passages,
    similar_names,
    snippets,
)
from disease_kb.tokens import has_cjk, normal_form

# The whole document comes along for the highlights: reading it costs less than asking again.
_COLUMNS = "id, kind, review_status, urgency, name_zh, name_en, codes, document, number"
_EXACT = f"""
SELECT source, detail, {_COLUMNS} FROM (
    SELECT entry, source, 0 AS detail FROM term WHERE normal = ?1
    UNION ALL SELECT entry, 'code', match NOT IN ('exact', 'close') FROM code WHERE normal = ?2
    UNION ALL SELECT * FROM (SELECT entry, 'code_below', 0 FROM code WHERE normal > ?2 AND normal < ?2 || 'a' LIMIT ?4)
    UNION ALL SELECT * FROM (SELECT rowid, 'text', rank FROM word WHERE word MATCH ?3 ORDER BY rank LIMIT ?4)
) JOIN entry ON number = entry
"""
_FULL_TEXT = f"""
SELECT {_COLUMNS} FROM word JOIN entry ON number = word.rowid WHERE word MATCH ? ORDER BY rank LIMIT ?
"""
_ROWS = f"SELECT {_COLUMNS} FROM entry WHERE number IN (SELECT value FROM json_each(?))"
# The longest of the given codes that an entry has.
_CODES = f"""
SELECT {_COLUMNS} FROM entry WHERE number IN (SELECT entry FROM code WHERE normal = (
    SELECT max(normal) FROM code WHERE normal IN (SELECT value FROM json_each(?))))
"""
_ZH, _EN = 4, 5  # places of the names in ``_COLUMNS``


@dataclass(frozen=True, slots=True)
class Spelling:
    """Index words and names kept in memory to repair misspelt queries."""

    vocabulary: list[str]  # Latin words of the full-text index
    names: list[str]  # normal forms of names and synonyms
    owners: list[int]  # the entry numbers of ``names``

    @classmethod
    async def load(cls, connection: aiosqlite.Connection) -> Spelling:
        """Read the words and names of a database."""
        words = await connection.execute_fetchall("SELECT term FROM vocabulary")
        rows = list(await connection.execute_fetchall("SELECT normal, entry FROM term WHERE source != 'label'"))
        vocabulary = [word for (word,) in words if len(word) > 3 and not has_cjk(word)]
        return cls(vocabulary, [row[0] for row in rows], [row[1] for row in rows])


class _Found:
    """The rows of the entries found so far, each with its best score."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[float, str, Any]] = {}

    def add(self, row: Any, score: float, how: str) -> None:
        number = row[-1]
        if score > self.rows.get(number, (0.0, "", None))[0]:
            self.rows[number] = (score, how, row)

    def add_texts(self, rows: list[Any], factor: float, how: str) -> None:
        """Add full-text matches, best first."""
        for position, row in enumerate(rows):
            self.add(row, factor * between(TEXT_SCORE, position, len(rows)), how)


async def exact_hits(connection: aiosqlite.Connection, query: Query, limit: int) -> list[Hit]:
    """Find entries whose code, name or text holds the query."""
    found = _Found()
    values = (query.normal, query.code or "\x00", query.match_all(), 2 * limit)
    texts: list[tuple[float, Any]] = []
    for source, detail, *row in await connection.execute_fetchall(_EXACT, values):
        if source == "text":
            texts.append((detail, row))
        elif source == "code_below":
            found.add(row, CODE_BELOW_SCORE, "code")
        else:
            found.add(row, EXACT_SCORE[source] - (0.05 if detail else 0.0), source)
    if query.code and not found.rows:
        await _add_codes_above(connection, query.code, found)
    texts.sort(key=lambda text: text[0])  # FTS5 ranks are negative, the best lowest
    _add_names(found, [row for _, row in texts], query)
    found.add_texts([row for _, row in texts], 1.0, "text")
    return _hits(query, found, limit)


async def similar_hits(connection: aiosqlite.Connection, query: Query, spelling: Spelling, limit: int) -> list[Hit]:
    """Find entries for a misspelt query: corrected words, then similar names, then any of its words."""
    found = _Found()
    tokens = [token for phrase in query.phrases for token in phrase]
    corrections = {token: near for token in tokens if (near := correct(token, spelling.vocabulary))}
    if corrections:
        rows = await _full_text(connection, query.match_corrected(corrections), limit)
        found.add_texts(rows, CORRECTED_FACTOR, "corrected")
    similar = [(spelling.owners[i], s) for i, s in similar_names(query.normal, spelling.names, limit)]
    rows = list(await connection.execute_fetchall(_ROWS, (json.dumps([number for number, _ in similar]),)))
    row_of = {row[-1]: row for row in rows}
    low, high = SIMILAR_SCORE
    for number, similarity in similar:
        found.add(row_of[number], low + (high - low) * similarity, "similar")
    if len(tokens) > 1 and (expression := query.match_any()):
        found.add_texts(await _full_text(connection, expression, limit), PARTIAL_FACTOR, "partial")
    meant = " ".join([query.text, *(word for near in corrections.values() for word in near)])
    return _hits(Query.parse(meant), found, limit)


async def _add_codes_above(connection: aiosqlite.Connection, code: str, found: _Found) -> None:
    rows = await connection.execute_fetchall(_CODES, (json.dumps(codes_above(code)),))
    for row in rows:
        found.add(row, CODE_ABOVE_SCORE, "code")


async def _full_text(connection: aiosqlite.Connection, expression: str, limit: int) -> list[Any]:
    return list(await connection.execute_fetchall(_FULL_TEXT, (expression, limit)))


def _add_names(found: _Found, rows: list[Any], query: Query) -> None:
    for position, row in enumerate(rows):
        # The trace spares most names the folding; for Latin words it would miss accents.
        names = [name for name in (row[_ZH], row[_EN]) if query.words or query.trace.search(name)]
        if any(holds(normal_form(name), query) for name in names):
            found.add(row, between(NAME_SCORE, position, len(rows)), "name")


def _hits(query: Query, found: _Found, limit: int) -> list[Hit]:
    scored = (
        (score * (RETIRED_FACTOR if row[2] == "retired" else 1.0), how, row) for score, how, row in found.rows.values()
    )
    # Of two equals, the one that both languages can read.
    ranked = sorted(scored, key=lambda item: (-item[0], not (item[2][_ZH] and item[2][_EN]), item[2][0]))
    return [_hit(row, score, how, query) for score, how, row in ranked[:limit]]


def _hit(row: Any, score: float, how: str, query: Query) -> Hit:
    name_id, kind, review, urgency, zh, en, codes, document, _ = row
    shown = snippets([("name", "zh", zh), ("name", "en", en)], query)
    if not shown and how != "code":
        shown = snippets(passages(document, query), query)
    coded = tuple(Code(*code) for code in json.loads(codes))
    return Hit(name_id, kind, {"zh": zh, "en": en}, coded, urgency, review, score, how, shown)
