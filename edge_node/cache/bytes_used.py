"""The ledger: bytes that this node sent and received, by calendar month and kind."""

from __future__ import annotations

from collections.abc import Mapping

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
