"""What went wrong on this machine and waits to be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edge_node.cache.tables import Tables

_MOST_EVENTS = 200


@dataclass(frozen=True)
class Event:
    """Something that went wrong on this machine and that the coordinator should hear of; equal ones are counted."""

    code: str
    subject: str
    message: str
    first: datetime
    last: datetime
    count: int


class Events(Tables):
    """Failures, counted."""

    async def add_event(self, code: str, subject: str, message: str, now: datetime) -> None:
        """Note a failure for the coordinator to hear of; one that happens again is counted."""
        when = now.isoformat(timespec="seconds")
        async with self._file.transaction():
            await self._file.run(
                """INSERT INTO event (code, subject, message, first, last, count) VALUES (?, ?, ?, ?, ?, 1)
                ON CONFLICT DO UPDATE SET message = excluded.message, last = excluded.last, count = count + 1""",
                (code, subject, message, when, when),
            )
            await self._file.run(
                "DELETE FROM event WHERE number NOT IN (SELECT number FROM event ORDER BY last DESC, number DESC LIMIT ?)",
                (_MOST_EVENTS,),
            )

    async def events(self) -> list[Event]:
        """What waits to be told, the latest first."""
        rows = await self._file.rows(
            "SELECT code, subject, message, first, last, count FROM event ORDER BY last DESC, number DESC"
        )
        return [
            Event(code, subject, message, datetime.fromisoformat(first), datetime.fromisoformat(last), count)
            for code, subject, message, first, last, count in rows
        ]
