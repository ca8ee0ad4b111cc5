"""Sessions of people who have signed in. The browser holds a random secret; the store its hash, and what is known of it."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.access.forgery import csrf_token
from coordinator.access.roles import RIGHTS, Role
from coordinator.access.users import Known
from coordinator.audit import Actor, record
from coordinator.errors import CoordinatorError
from coordinator.store.database import Database
from coordinator.store.tables import sessions, users
from protocols.access import Principal

IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=12)
NOTED: Final = timedelta(minutes=1)  # how exactly the last use is kept: else every page would be a commit
MOST: Final = 20  # of one person


@dataclass(frozen=True)
class Session:
    """A session that lives."""

    principal: Principal
    csrf: str


def lives(created: datetime, seen: datetime, now: datetime) -> bool:
    """Whether a session's time is not up."""
    return now < created + LONGEST and now < seen + IDLE


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, person: Known, now: datetime) -> str:
        """A new session; returns the secret for the browser. Old ones are cleared away."""
        secret, moment = secrets.token_urlsafe(32), _text(now)
        async with self._database.begin() as connection:
            old = (sessions.c.created <= _text(now - LONGEST)) | (sessions.c.seen <= _text(now - IDLE))
            await connection.execute(delete(sessions).where(old))
            mine = select(sessions.c.secret_sha256).where(sessions.c.user == person.id)
            most = mine.order_by(sessions.c.created.desc()).offset(MOST - 1)
            rows = (await connection.scalars(most)).all()
            await connection.execute(delete(sessions).where(sessions.c.secret_sha256.in_(rows)))
            await connection.execute(
                sessions.insert().values(
                    secret_sha256=_sha256(secret), user=person.id, epoch=person.epoch, created=moment, seen=moment
                )
            )
            await record(connection, Actor("user", person.name), "session.start", person.name, {}, now)
        return secret

    async def find(self, secret: str, now: datetime, *, used: bool = True) -> Session | None:
        """The session with this secret, if it lives: not ended, not too old, its person's role and password the same.

        Args:
            used: a person did something; else a page asks by itself, and the session grows idle all the same.
        """
        async with self._database.read() as connection:
            row = await _row(connection, secret)
        if row is None or row.disabled or row.epoch != row.now_epoch:
            return None
        seen = datetime.fromisoformat(row.seen)
        if not lives(datetime.fromisoformat(row.created), seen, now):
            return None
        if used and now >= seen + NOTED:
            await self._note(row.secret_sha256, now)
        return Session(Principal(row.name, "user", RIGHTS[Role(row.role)]), csrf_token(secret))

    async def end(self, secret: str, now: datetime) -> None:
        """End one; what is not there is ended already."""
        async with self._database.begin() as connection:
            row = await _row(connection, secret)
            if row is not None:
                await connection.execute(delete(sessions).where(sessions.c.secret_sha256 == row.secret_sha256))
                await record(connection, Actor("user", row.name), "session.end", row.name, {}, now)

    async def _note(self, secret_sha256: str, now: datetime) -> None:
        with contextlib.suppress(CoordinatorError):  # a full or busy disk: the page is shown all the same
            async with self._database.begin() as connection:
                found = sessions.c.secret_sha256 == secret_sha256
                await connection.execute(update(sessions).where(found).values(seen=_text(now)))


async def _row(connection: AsyncConnection, secret: str) -> Any:
    person = (users.c.name, users.c.role, users.c.disabled, users.c.epoch.label("now_epoch"))
    query = select(sessions, *person).join(users, users.c.id == sessions.c.user)
    return (await connection.execute(query.where(sessions.c.secret_sha256 == _sha256(secret)))).first()


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
