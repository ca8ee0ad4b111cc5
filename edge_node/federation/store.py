"""A site's labelled images, on its own disk: which they are, what trunk and releases made of them, and what was consented to.

Images stay where they are; of them stand here the path or the result whose sealed copy the history kept, the digest, the label
and the group. Features and answers are computed once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import EdgeError
from edge_node.federation.folder import Found, Reading
from edge_node.sqlite import Schema, SqliteFile

_SCHEMA = Schema(
    0x4D4D4645,  # "MMFE"
    (
        (
            """CREATE TABLE image (
                disease TEXT NOT NULL, sha256 TEXT NOT NULL, label TEXT NOT NULL, grp TEXT NOT NULL, path TEXT NOT NULL,
                PRIMARY KEY (disease, sha256)
            ) STRICT""",
            "CREATE TABLE label (disease TEXT NOT NULL, label TEXT NOT NULL, PRIMARY KEY (disease, label)) STRICT",
            """CREATE TABLE feature (
                sha256 TEXT NOT NULL, stage TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (sha256, stage)
            ) STRICT""",
            """CREATE TABLE consent (
                disease TEXT PRIMARY KEY, since TEXT NOT NULL, window TEXT NOT NULL, monthly_mb INTEGER NOT NULL
            ) STRICT""",
        ),
        (
            "ALTER TABLE image ADD COLUMN result TEXT",  # whose sealed copy is read; null: the file at path
            """CREATE TABLE answer (
                sha256 TEXT NOT NULL, release TEXT NOT NULL, label TEXT NOT NULL, PRIMARY KEY (sha256, release)
            ) STRICT""",
        ),
    ),
    damaged=lambda path: EdgeError("federation.store_damaged", path=path),
    newer=lambda path, found, known: EdgeError("federation.store_newer", path=path, found=found, known=known),
    busy=lambda: EdgeError("storage.busy"),
)


@dataclass(frozen=True)
class Consent:
    """The site takes part in runs for a disease.

    Attributes:
        disease: slug.
        since: when somebody said so, UTC.
        window: local times of day, ``22:00-06:00``; empty: always.
        monthly_mb: most that runs may cost the line in a calendar month; 0: no limit.
    """

    disease: str
    since: datetime
    window: str
    monthly_mb: int


class SiteStore:
    """One open file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[SiteStore]:
        """Open or create it.

        Raises:
            EdgeError: ``federation.store_*`` or ``storage.*``.
        """
        async with SqliteFile.open(path, _SCHEMA) as file:
            yield cls(file)

    async def add(self, disease: str, reading: Reading) -> int:
        """Keep what a folder holds, beside what was there; returns how many images are new."""
        async with self._file.transaction():
            before = await self._count(disease)
            await self._file.run_many(
                "INSERT OR IGNORE INTO label VALUES (?, ?)", [(disease, label) for label in reading.labels]
            )
            for table in ("feature", "answer"):  # a file and its copy do not give quite the same
                await self._file.run_many(
                    f"DELETE FROM {table} WHERE sha256 IN "
                    "(SELECT sha256 FROM image WHERE sha256 = ? AND (result IS NULL) != ?)",
                    [(i.sha256, i.result is None) for i in reading.images],
                )
            await self._file.run_many(
                "INSERT INTO image (disease, sha256, label, grp, path, result) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET label = excluded.label, grp = excluded.grp, path = excluded.path, "
                "result = excluded.result",
                [(disease, i.sha256, i.label, i.group, str(i.path), i.result) for i in reading.images],
            )
            return await self._count(disease) - before

    async def remove(self, disease: str) -> int:
        """Forget a disease's images and their features; returns how many images."""
        async with self._file.transaction():
            count = await self._file.run("DELETE FROM image WHERE disease = ?", (disease,))
            await self._file.run("DELETE FROM label WHERE disease = ?", (disease,))
            for table in ("feature", "answer"):
                await self._file.run(f"DELETE FROM {table} WHERE sha256 NOT IN (SELECT sha256 FROM image)")
        await self._file.empty_log()
        return count

    async def images(self, disease: str) -> list[Found]:
        """All images of a disease."""
        rows = await self._file.rows(
            "SELECT sha256, label, grp, path, result FROM image WHERE disease = ? ORDER BY sha256", (disease,)
        )
        return [Found(sha256, label, group, Path(path), result) for sha256, label, group, path, result in rows]

    async def labels(self, disease: str) -> tuple[str, ...]:
        """What this site tells apart in a disease, sorted."""
        rows = await self._file.rows("SELECT label FROM label WHERE disease = ? ORDER BY label", (disease,))
        return tuple(label for (label,) in rows)

    async def diseases(self) -> dict[str, dict[str, int]]:
        """Images by disease and label."""
        rows = await self._file.rows(
            "SELECT label.disease, label.label, count(sha256) FROM label LEFT JOIN image USING (disease, label) "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found: dict[str, dict[str, int]] = {}
        for disease, label, count in rows:
            found.setdefault(disease, {})[label] = count
        return found

    async def features(self, stage: str) -> dict[str, NDArray[np.float32]]:
        """Features by image, as one trunk and choice of taps (``stage``) gave them."""
        rows = await self._file.rows("SELECT sha256, value FROM feature WHERE stage = ?", (stage,))
        return {sha256: np.frombuffer(value, "<f4") for sha256, value in rows}

    async def keep_features(self, stage: str, found: Sequence[tuple[str, NDArray[np.float32]]]) -> None:
        """Keep features, of images that are still here."""
        async with self._file.transaction():
            await self._file.run_many(
                "INSERT OR REPLACE INTO feature SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM image WHERE sha256 = ?1)",
                [(sha256, stage, value.astype("<f4").tobytes()) for sha256, value in found],
            )

    async def answers(self, release: str) -> dict[str, str]:
        """The likeliest label by image, as one release (the digest of its manifest) answered."""
        rows = await self._file.rows("SELECT sha256, label FROM answer WHERE release = ?", (release,))
        return dict(rows)

    async def keep_answers(self, release: str, found: Sequence[tuple[str, str]]) -> None:
        """Keep answers, of images that are still here."""
        async with self._file.transaction():
            await self._file.run_many(
                "INSERT OR REPLACE INTO answer SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM image WHERE sha256 = ?1)",
                [(sha256, release, label) for sha256, label in found],
            )

    async def forget_answers(self, disease: str, keep: Sequence[str]) -> None:
        """Drop what other releases than these answered for a disease's images."""
        marks = ", ".join("?" * len(keep))
        async with self._file.transaction():
            await self._file.run(
                f"DELETE FROM answer WHERE sha256 IN (SELECT sha256 FROM image WHERE disease = ?) "
                f"AND release NOT IN ({marks})",
                (disease, *keep),
            )

    async def consents(self) -> list[Consent]:
        """What this site takes part in."""
        rows = await self._file.rows("SELECT disease, since, window, monthly_mb FROM consent ORDER BY disease")
        return [Consent(d, datetime.fromisoformat(since), window, mb) for d, since, window, mb in rows]

    async def consent(self, given: Consent) -> None:
        """From now on it takes part."""
        async with self._file.transaction():
            await self._file.run(
                "INSERT OR REPLACE INTO consent VALUES (?, ?, ?, ?)",
                (given.disease, given.since.isoformat(timespec="seconds"), given.window, given.monthly_mb),
            )

    async def withdraw(self, disease: str) -> bool:
        """From now on it does not; whether it did."""
        async with self._file.transaction():
            return bool(await self._file.run("DELETE FROM consent WHERE disease = ?", (disease,)))

    async def _count(self, disease: str) -> int:
        return int((await self._file.rows("SELECT count(*) FROM image WHERE disease = ?", (disease,)))[0][0])
