"""Single words that the node remembers: about itself, and about each file."""

from __future__ import annotations

from dataclasses import dataclass

from edge_node.cache.tables import Tables


@dataclass(frozen=True)
class Stamp:
    """Size and modification time of a file when its digest was last found right."""

    size_bytes: int
    mtime_ns: int


class Notes(Tables):
    """Notes by key, and when the files of artifacts were last verified."""

    async def stamp(self, sha256: str) -> Stamp | None:
        """When the file of an artifact was last verified."""
        rows = await self._file.rows("SELECT size, mtime_ns FROM stamp WHERE sha256 = ?", (sha256,))
        return Stamp(*rows[0]) if rows else None

    async def set_stamp(self, sha256: str, stamp: Stamp | None) -> None:
        """Note that a file was just verified, or (None) that it is gone."""
        async with self._file.transaction():
            await self._file.run("DELETE FROM stamp WHERE sha256 = ?", (sha256,))
            if stamp is not None:
                await self._file.run("INSERT INTO stamp VALUES (?, ?, ?)", (sha256, stamp.size_bytes, stamp.mtime_ns))

    async def note(self, key: str) -> str | None:
        """A remembered word about the node."""
        rows = await self._file.rows("SELECT value FROM note WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    async def set_note(self, key: str, value: str) -> None:
        """Remember a word about the node."""
        async with self._file.transaction():
            await self._file.run("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    async def next_number(self, key: str, least: int) -> int:
        """A number above all that were given under ``key``, and not below ``least``; no other program gets the same."""
        async with self._file.transaction():
            rows = await self._file.rows("SELECT value FROM note WHERE key = ?", (key,))
            number = max(int(rows[0][0]) + 1 if rows else 1, least)
            await self._file.run("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, str(number)))
        return number
