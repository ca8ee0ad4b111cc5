"""Writing and reading the audit trail in the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.audit.actor import Actor
from coordinator.audit.acts import check
from coordinator.store.database import RECORDED, Database
from coordinator.store.tables import audit
from protocols.audit import Head, Row, following

_PAGE = 2000
_LOCK: Final = 0x4D4D4155  # "MMAU": PostgreSQL's advisory lock on the tail


async def record(
    connection: AsyncConnection, actor: Actor, act: str, subject: str, detail: Mapping[str, Any], now: datetime
) -> None:
    """Append a row within the caller's transaction, so that the act and its record are committed together or not at all.

    Call it last in the transaction: on PostgreSQL others wait from here until the commit.

    Args:
        connection: from ``Database.begin``, which holds the only write transaction of SQLite.
        actor: ``audit.actor.current.get()`` for whoever acts now.
        act: a name from ``audit.acts.ACTS``.
        subject: what it was done to.
        detail: JSON; no image, patient, file name, key or token.
        now: when.

    Raises:
        ValueError: ``audit.acts`` does not allow it.
    """
    check(act, subject, detail)
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    tail = (await connection.execute(_TAIL)).first()
    last = None if tail is None else Head(tail.number, tail.hash, tail.at)
    at = now.isoformat(timespec="seconds")
    row = following(last, at, (actor.kind, actor.name), act, subject, detail)
    await connection.execute(audit.insert().values(**vars(row)))
    connection.info[RECORDED] = Head(row.number, row.hash, at)


_TAIL: Select[Any] = select(audit.c.number, audit.c.hash, audit.c.at).order_by(audit.c.number.desc()).limit(1)


@dataclass(frozen=True)
class Chosen:
    """Which rows: all, or those that match everything that is given. ``act`` may be the start of a name: ``release``."""

    since: datetime | None = None
    actor: str | None = None
    act: str | None = None
    subject: str | None = None


class Trail:
    """Reads the trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def every(self) -> AsyncIterator[Row]:
        """All rows in order, page by page."""
        after: int | None = None
        while True:
            query = select(audit).order_by(audit.c.number).limit(_PAGE)
            if after is not None:
                query = query.where(audit.c.number > after)
            async with self._database.read() as connection:
                page = (await connection.execute(query)).all()
            for row in page:
                yield _row(row)
            if len(page) < _PAGE:
                return
            after = page[-1].number

    async def newest(self, chosen: Chosen, most: int, before: int | None = None) -> list[Row]:
        """The chosen rows, newest first; ``before`` a number, for the next page."""
        query = select(audit).order_by(audit.c.number.desc()).limit(most)
        if before is not None:
            query = query.where(audit.c.number < before)
        if chosen.since is not None:
            query = query.where(audit.c.at >= chosen.since.isoformat(timespec="seconds"))
        if chosen.actor is not None:
            query = query.where(audit.c.actor == chosen.actor)
        if chosen.act is not None:
            query = query.where((audit.c.act == chosen.act) | audit.c.act.startswith(f"{chosen.act}.", autoescape=True))
        if chosen.subject is not None:
            named = audit.c.subject.startswith(f"{chosen.subject}@", autoescape=True)
            query = query.where((audit.c.subject == chosen.subject) | named)
        async with self._database.read() as connection:
            return [_row(row) for row in await connection.execute(query)]

    async def head(self) -> Head | None:
        """The last row's number and hash, unsigned."""
        async with self._database.read() as connection:
            tail = (await connection.execute(_TAIL)).first()
        return None if tail is None else Head(tail.number, tail.hash, tail.at)


def _row(row: Any) -> Row:
    return Row(**row._mapping)
