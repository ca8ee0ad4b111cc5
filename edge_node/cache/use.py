"""Which models are pinned and when each was last used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edge_node.cache.tables import Tables


class Use(Tables):
    """Pins and times, by (disease, model)."""

    async def pins(self) -> set[tuple[str, str]]:
        """Models that are never evicted."""
        return {(disease, model) for disease, model in await self._file.rows("SELECT disease, model FROM pin")}

    async def pin(self, disease: str, model: str) -> None:
        """Keep a model whatever the quota says."""
        async with self._file.transaction():
            await self._file.run("INSERT OR IGNORE INTO pin VALUES (?, ?)", (disease, model))

    async def unpin(self, disease: str, model: str) -> None:
        """Let a model be evicted again."""
        async with self._file.transaction():
            await self._file.run("DELETE FROM pin WHERE disease = ? AND model = ?", (disease, model))

    async def last_used(self) -> dict[tuple[str, str, int], datetime]:
        """The last recognition with each release, by (disease, model, version)."""
        rows = await self._file.rows("SELECT disease, model, version, last FROM used")
        return {(disease, model, version): datetime.fromisoformat(last) for disease, model, version, last in rows}

    async def set_last_used(self, releases: Sequence[tuple[str, str, int]], now: datetime) -> None:
        """Note a recognition."""
        when = now.isoformat(timespec="seconds")
        async with self._file.transaction():
            await self._file.run_many(
                "INSERT OR REPLACE INTO used VALUES (?, ?, ?, ?)", [(*release, when) for release in releases]
            )
