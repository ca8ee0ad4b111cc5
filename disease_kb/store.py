"""The knowledge base on disk: one SQLite file, read by many, replaced atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from disease_kb.changes import by_id
from disease_kb.connection import connect, transaction, translated
from disease_kb.document import from_document
from disease_kb.labels import Catalogue, LabelMatch, terms_of
from disease_kb.lookup import Spelling, exact_hits, similar_hits
from disease_kb.model import Entry
from disease_kb.search import Hit, Query, normal_code
from disease_kb.writing import check_unchanged, put_entries, remove_entries


class KnowledgeBase:
    """An open knowledge base. Reads share one connection; each write takes its own and commits or leaves no trace."""

    def __init__(self, path: Path, reader: aiosqlite.Connection) -> None:
        self.path = path
        self._reader = reader
        self._spelling: tuple[int, Spelling] | None = None
        self._catalogue: tuple[int, Catalogue] | None = None

    @classmethod
    async def open(cls, path: Path) -> KnowledgeBase:
        """Open or create the database at ``path``; an empty one holds no entries.

        Raises:
            StoreError: damaged, of another kind, or of a newer version.
        """
        return cls(path, await connect(path))

    async def close(self) -> None:
        """Close the file; idempotent."""
        await self._reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, entry_id: str) -> Entry | None:
        """Return the entry with this id."""
        found = await self._entries("WHERE id = ?", (entry_id,))
        return found[0] if found else None

    async def by_code(self, code: str) -> list[Entry]:
        """Return the entries with this code in any spelling (``C43.9``, ``ICD-10-CM:C439``), best match first."""
        where = (
            "JOIN code ON code.entry = number WHERE code.normal = ? ORDER BY code.match NOT IN ('exact', 'close'), id"
        )
        return list(dict.fromkeys(await self._entries(where, (normal_code(code),))))

    async def entries(self) -> list[Entry]:
        """Return every entry, by id."""
        return await self._entries("ORDER BY id", ())

    async def search(self, text: str, limit: int = 20) -> list[Hit]:
        """Search names, synonyms, codes and texts in Chinese and English, best first; typing errors are forgiven."""
        query = Query.parse(text)
        if not query.phrases or limit < 1:
            return []
        with translated(self.path):
            hits = await exact_hits(self._reader, query, limit)
            return hits or await similar_hits(self._reader, query, await self._spelling_now(), limit)

    async def match_label(self, label: str, disease_slug: str) -> list[LabelMatch]:
        """Return the entries that a class name of a data set may mean, best first; see ``LabelMatch.certain``."""
        now = await self._data_version()
        if self._catalogue is None or self._catalogue[0] != now:
            terms = [term for entry in await self.entries() for term in terms_of(entry)]
            self._catalogue = (now, Catalogue(terms))
        return self._catalogue[1].match(label, disease_slug)

    async def version(self) -> str:
        """Return a short hash of the content: equal exactly where the entries are."""
        rows = await self._rows("SELECT id, digest FROM entry ORDER BY id", ())
        return hashlib.sha256("".join(f"{name} {value}\n" for name, value in rows).encode()).hexdigest()[:12]

    async def replace_all(self, entries: Iterable[Entry]) -> None:
        """Put ``entries`` in the place of everything, atomically; from then on the packaged seed changes nothing here.

        Raises:
            InvalidEntryError: an id stands twice; nothing has changed.
        """
        wanted = by_id(entries)
        await self.write(wanted.values(), (await self.digests()).keys() - wanted.keys(), origin="replica")

    async def digests(self) -> dict[str, tuple[str, str | None]]:
        """Return, by id, the digest of each entry and of the packaged entry that it was built from."""
        rows = await self._rows("SELECT id, digest, seed_digest FROM entry", ())
        return {name: (now, seed) for name, now, seed in rows}

    async def meta(self, key: str) -> str | None:
        """Return a note that ``write`` left about the whole knowledge base."""
        rows = await self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    async def write(
        self,
        entries: Collection[Entry],
        remove: Collection[str] = (),
        *,
        expected: Mapping[str, str] | None = None,
        from_seed: bool = False,
        **meta: str,
    ) -> None:
        """Add or replace entries and remove others, with notes about the whole, in one transaction.

        Args:
            entries: what to write.
            remove: ids to remove; unknown ones are passed over.
            expected: the digests, by id, on which the caller's decision rests.
            from_seed: the entries are the packaged ones, which a newer package may refresh.
            meta: notes for ``meta``.

        Raises:
            ConflictError: somebody changed one of these entries since ``expected`` was read; nothing was written.
        """
        async with transaction(self.path) as connection:
            if expected is not None:
                await check_unchanged(connection, [entry.id for entry in entries], expected)
            await remove_entries(connection, remove)
            await put_entries(connection, entries, from_seed)
            for key, value in meta.items():
                await connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    async def _entries(self, tail: str, values: tuple[Any, ...]) -> list[Entry]:
        rows = await self._rows(f"SELECT document FROM entry {tail}", values)
        return [from_document(json.loads(row[0])) for row in rows]

    async def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with translated(self.path):
            return list(await self._reader.execute_fetchall(sql, values))

    async def _data_version(self) -> int:
        return int((await self._rows("PRAGMA data_version", ()))[0][0])

    async def _spelling_now(self) -> Spelling:
        now = await self._data_version()
        if self._spelling is None or self._spelling[0] != now:
            self._spelling = (now, await Spelling.load(self._reader))
        return self._spelling[1]
