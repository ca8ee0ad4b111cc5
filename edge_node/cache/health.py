"""How the releases on this machine do, counted for the coordinator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edge_node.cache.tables import Tables
from protocols.heartbeat import Outcomes, ReleaseHealth
from protocols.results.report import OUTCOMES

Key = tuple[str, str, int]  # disease, model, version
_MOST_ROWS = 200
_COUNTS = ", ".join(OUTCOMES)


class Health(Tables):
    """Counts by release since it came into use or was first tried. Activation begins them anew."""

    async def begin_health(self, disease: str, model: str, version: int, now: datetime) -> None:
        """A release came into use, its self-test passed; within the caller's transaction.

        Older versions of the model that are gone are forgotten.
        """
        key = (disease, model, version)
        await self._file.run(
            """DELETE FROM health WHERE disease = ?1 AND model = ?2 AND (version = ?3 OR version NOT IN
            (SELECT version FROM release WHERE disease = ?1 AND model = ?2) AND version < ?3)""",
            key,
        )
        await self._file.run(
            "INSERT INTO health (disease, model, version, since, self_test) VALUES (?, ?, ?, ?, 'passed')",
            (*key, now.isoformat(timespec="seconds")),
        )

    async def count_outcomes(self, outcomes: Sequence[tuple[Key, str]]) -> None:
        """Results were saved: of which release, and how each ended."""
        async with self._file.transaction():
            for key, outcome in outcomes:
                column = OUTCOMES[OUTCOMES.index(outcome)]
                await self._file.run(
                    f"UPDATE health SET {column} = {column} + 1 WHERE disease = ? AND model = ? AND version = ?", key
                )

    async def count_word(self, key: Key, confirmed: int, agreed: int) -> None:
        """A clinician spoke: how many more results are confirmed, and how many more (or fewer) agree with the release."""
        async with self._file.transaction():
            await self._file.run(
                """UPDATE health SET confirmed = confirmed + ?4, agreed = max(min(agreed + ?5, confirmed + ?4), 0)
                WHERE disease = ?1 AND model = ?2 AND version = ?3""",
                (*key, confirmed, agreed),
            )

    async def count_failure(self, key: Key, now: datetime, *, self_test: bool = False) -> None:
        """Bringing a release into use, or running it, failed by its own fault; with ``self_test`` it was that which failed."""
        async with self._file.transaction():
            await self._file.run(
                """INSERT INTO health (disease, model, version, since, self_test, failures) VALUES (?1, ?2, ?3, ?4, ?5, 1)
                ON CONFLICT DO UPDATE SET failures = failures + 1,
                self_test = CASE ?5 WHEN 'refused' THEN ?5 ELSE self_test END""",
                (*key, now.isoformat(timespec="seconds"), "refused" if self_test else "none"),
            )
            await self._file.run(
                """DELETE FROM health WHERE rowid NOT IN (SELECT health.rowid FROM health LEFT JOIN release
                USING (disease, model, version) ORDER BY release.number IS NULL, health.since DESC LIMIT ?)""",
                (_MOST_ROWS,),
            )

    async def health(self) -> list[ReleaseHealth]:
        """Every release that is in use here, could be again, or failed since."""
        rows = await self._file.rows(
            f"""SELECT disease, model, version, coalesce(release.state = 'active', 0), since, self_test, failures,
            confirmed, agreed, {_COUNTS} FROM health LEFT JOIN release USING (disease, model, version)
            ORDER BY disease, model, version"""
        )
        return [
            ReleaseHealth(
                disease=disease,
                release=f"{model}@{version}",
                active=bool(active),
                since=datetime.fromisoformat(since),
                self_test=self_test,
                failures=failures,
                outcomes=Outcomes(*counts),
                confirmed=confirmed,
                agreed=agreed,
            )
            for disease, model, version, active, since, self_test, failures, confirmed, agreed, *counts in rows
        ]
