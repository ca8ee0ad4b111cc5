"""Copies of pictures beside their results, for the clinician's word: sealed, within a limit. They never leave this machine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from edge_node.capture.keep import Kept
from edge_node.errors import EdgeError
from edge_node.outbox.seal import Seal, UnsealError
from edge_node.sqlite import SqliteFile

# The ones to go first stand last: those on which nobody said anything, then the oldest.
_RANKED = """SELECT picture.id, picture.size FROM picture JOIN shown ON shown.picture = picture.id
    JOIN record ON record.id = shown.result GROUP BY picture.id
    ORDER BY max(EXISTS (SELECT 1 FROM record AS word WHERE word.result = shown.result)) DESC, max(record.number) DESC"""


class Pictures:
    """The copies in one history."""

    def __init__(self, file: SqliteFile, seal: Seal, most_bytes: int) -> None:
        """Args: most_bytes: what all of them may take up; 0: none is kept."""
        self._file = file
        self._seal = seal
        self._most_bytes = most_bytes

    async def keep(self, kept: Kept, results: Sequence[str]) -> None:
        """Keep one picture for the results on it; where room is short others go, first those without a clinician's word.

        Raises:
            EdgeError: ``storage.*``; the results stand without it.
        """
        if not results or len(kept.data) > self._most_bytes:
            return
        picture = secrets.token_hex(16)
        sealed = self._seal.close_bytes(kept.suffix.encode() + b"\0" + kept.data, _place(picture))
        async with self._file.transaction():
            await self._file.run("INSERT INTO picture VALUES (?, ?, ?)", (picture, len(sealed), sealed))
            await self._file.run_many("INSERT INTO shown VALUES (?, ?)", [(result, picture) for result in results])
            await self._make_room()

    async def _make_room(self) -> None:
        room = self._most_bytes
        for picture, size in await self._file.rows(_RANKED):
            room -= size
            if room < 0:
                await self._file.run("DELETE FROM picture WHERE id = ?", (picture,))

    async def results(self) -> frozenset[str]:
        """Results whose picture is kept."""
        return frozenset(result for (result,) in await self._file.rows("SELECT result FROM shown"))

    async def of(self, result: str) -> Kept | None:
        """The picture that a result is about; None where there is none any more.

        Raises:
            EdgeError: ``outbox.damaged``.
        """
        rows = await self._file.rows(
            "SELECT id, sealed FROM picture JOIN shown ON shown.picture = picture.id WHERE shown.result = ?", (result,)
        )
        if not rows:
            return None
        picture, sealed = rows[0]
        try:
            suffix, _, data = self._seal.open_bytes(sealed, _place(picture)).partition(b"\0")
        except UnsealError as error:
            raise EdgeError("outbox.damaged", path=self._file.path) from error
        return Kept(data, suffix.decode())


def _place(picture: str) -> str:
    return f"{picture}/picture"
