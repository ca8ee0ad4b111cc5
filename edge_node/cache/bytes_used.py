"""The ledger: bytes that this node sent and received, by calendar month and kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_node.cache.tables import Tables

_MOST_MONTHS = 24


class BytesUsed(Tables):
    """Months are written ``2026-02``."""

    async def bytes_used(self, month: str) -> dict[str, int]:
        """The bytes of a month by kind."""
        return dict(await self._file.rows("SELECT kind, bytes FROM traffic WHERE month = ?", (month,)))

    async def add_bytes_used(self, month: str, by_kind: Mapping[str, int]) -> None:
        """Add to a month; the oldest ones are forgotten."""
        async with self._file.transaction():
            await self._file.run_many(
                "INSERT INTO traffic VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
                [(month, kind, size_bytes) for kind, size_bytes in by_kind.items()],
            )
            await self._file.run(
                """DELETE FROM traffic WHERE month NOT IN
                (SELECT DISTINCT month FROM traffic ORDER BY month DESC LIMIT ?)""",
                (_MOST_MONTHS,),
            )

    async def reserve_bytes(self, month: str, kinds: Sequence[str], size_bytes: int, most_bytes: int) -> bool:
        """Add to a month's ``reserved`` unless these kinds together would pass ``most_bytes``; returns whether it did."""
        marks = ", ".join("?" * len(kinds))
        async with self._file.transaction():
            rows = await self._file.rows(
                f"SELECT coalesce(sum(bytes), 0) FROM traffic WHERE month = ? AND kind IN ({marks})", (month, *kinds)
            )
            if rows[0][0] + size_bytes > most_bytes:
                return False
            await self._file.run(
                "INSERT INTO traffic VALUES (?, 'reserved', ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
                (month, size_bytes),
            )
        return True
