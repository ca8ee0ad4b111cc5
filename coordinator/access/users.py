"""People: their roles and passwords."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.access import passwords
from coordinator.access.passwords import Hasher
from coordinator.access.rates import sender
from coordinator.access.roles import RIGHTS, Role, check_gift
from coordinator.audit import Actor, record
from coordinator.audit.actor import current, moment
from coordinator.errors import CoordinatorError
from coordinator.store.database import Database
from coordinator.store.tables import password_links, users
from protocols.access import Failures, Principal

LINK_LIFE: Final = timedelta(days=1)
MOST_NAME: Final = 80


@dataclass(frozen=True)
class Known:
    """A person whose password is known to be right."""

    id: int
    name: str
    epoch: int


def folded(name: str) -> str:
    """Names that look alike are one name."""
    return unicodedata.normalize("NFKC", name).casefold()


class Guesses:
    """Wrong passwords within 15 minutes. A guesser is stopped for a name first; that name's owner elsewhere much later."""

    WINDOW_S = 900.0
    PAIR, ADDRESS, ACCOUNT = 10, 40, 100

    def __init__(self) -> None:
        self._tables = [Failures(most, self.WINDOW_S) for most in (self.PAIR, self.ADDRESS, self.ACCOUNT)]

    def start(self, account: str, address: str, now_s: float) -> float:
        """Note an attempt before its outcome is known, else many at once would count as one.

        Returns:
            0, or how many seconds to wait; such an attempt is not noted.
        """
        keys = self._keys(account, address)
        wait = max(t.wait_s(k, now_s) for t, k in zip(self._tables, keys, strict=True))
        if not wait:
            for table, key in zip(self._tables, keys, strict=True):
                table.add(key, now_s)
        return wait

    def take_back(self, account: str, address: str) -> None:
        """The attempt was no guess."""
        for table, key in zip(self._tables, self._keys(account, address), strict=True):
            table.take_back(key)

    @staticmethod
    def _keys(account: str, address: str) -> tuple[str, str, str]:
        return f"{address} {account}", address, account


class Users:
    """Makes, changes, lists and recognises people."""

    def __init__(self, database: Database, hasher: Hasher, coordinator: str) -> None:
        self._database = database
        self._hasher = hasher
        self._coordinator = coordinator
        self._guesses = Guesses()

    async def add(
        self, name: str, role: Role, now: datetime, password: str | None = None, by: Principal | None = None
    ) -> dict[str, Any]:
        """Make a person, or let one who was removed in again; without a password they cannot sign in yet.

        Raises:
            CoordinatorError: ``user.bad_name``, ``user.account_exists``, ``access.denied`` or ``password.…``.
        """
        check_gift(by, RIGHTS[role])
        if not 0 < len(name) <= MOST_NAME or not name.isprintable() or name != name.strip():
            raise CoordinatorError("user.bad_name", most=MOST_NAME)
        kept = None if password is None else await self._hash(password, name)
        async with self._database.begin() as connection:
            query = select(users).where(users.c.folded == folded(name))
            row = (await connection.execute(query)).first()
            values = {"name": name, "role": role.value, "password": kept, "disabled": False}
            if row is None:
                made = now.isoformat(timespec="seconds")
                await connection.execute(users.insert().values(**values, folded=folded(name), created=made, epoch=0))
            elif row.disabled:
                await connection.execute(_changed(row.id).values(**values))
            else:
                raise CoordinatorError("user.account_exists", name=row.name)
            await record(connection, current.get(), "user.add", name, {"role": role.value}, now)
        return {"name": name, "role": role.value}

    async def list(self) -> list[dict[str, Any]]:
        """All people, without what is kept of their passwords."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(users).order_by(users.c.folded))).all()
        return [{"name": r.name, "role": r.role, "created": r.created, "state": _state(r)} for r in rows]

    async def set_role(self, name: str, role: Role, by: Principal | None = None) -> dict[str, Any]:
        """Give a person another role; they are signed out everywhere.

        Raises:
            CoordinatorError: ``user.account_unknown`` or ``access.denied``.
        """
        check_gift(by, RIGHTS[role])
        async with self._database.begin() as connection:
            row = await _find(connection, name)
            check_gift(by, RIGHTS[Role(row.role)])
            await connection.execute(_changed(row.id).values(role=role.value))
            await record(connection, current.get(), "user.change", row.name, {"role": role.value}, moment())
        return {"name": row.name, "role": role.value}

    async def remove(self, name: str, by: Principal | None = None) -> dict[str, Any]:
        """Let a person in no more. The name stays, since what they uploaded and did bears it.

        Raises:
            CoordinatorError: ``user.account_unknown`` or ``access.denied``.
        """
        async with self._database.begin() as connection:
            row = await _find(connection, name)
            check_gift(by, RIGHTS[Role(row.role)])
            await connection.execute(_changed(row.id).values(disabled=True, password=None))
            await connection.execute(delete(password_links).where(password_links.c.user == row.id))
            await record(connection, current.get(), "user.remove", row.name, {}, moment())
        return {"name": row.name, "removed": True}

    async def set_password(self, name: str, password: str) -> Known:
        """Give a person another password; they are signed out everywhere.

        Raises:
            CoordinatorError: ``user.account_unknown`` or ``password.…``.
        """
        async with self._database.read() as connection:
            row = await _find(connection, name)
        kept = await self._hash(password, row.name)
        async with self._database.begin() as connection:
            row = await _find(connection, name)
            await connection.execute(_changed(row.id).values(password=kept))
            await connection.execute(delete(password_links).where(password_links.c.user == row.id))
            await record(connection, current.get(), "user.change", row.name, {"what": "sign-in"}, moment())
        return Known(row.id, row.name, row.epoch + 1)

    async def link(self, name: str, now: datetime, by: Principal | None = None) -> dict[str, Any]:
        """A secret with which a person chooses a password within a day, once. The password so far ends now.

        Raises:
            CoordinatorError: ``user.account_unknown`` or ``access.denied``.
        """
        secret, expires = secrets.token_urlsafe(32), (now + LINK_LIFE).isoformat(timespec="seconds")
        async with self._database.begin() as connection:
            row = await _find(connection, name)
            check_gift(by, RIGHTS[Role(row.role)])
            await connection.execute(_changed(row.id).values(password=None))
            await connection.execute(delete(password_links).where(password_links.c.user == row.id))
            await connection.execute(
                password_links.insert().values(user=row.id, secret_sha256=_sha256(secret), expires=expires)
            )
            await record(connection, current.get(), "user.change", row.name, {"what": "link"}, now)
        return {"name": row.name, "role": row.role, "path": f"/password/{secret}", "expires": expires}

    async def linked(self, secret: str, now: datetime) -> str:
        """Whom a link is for; it stays good.

        Raises:
            CoordinatorError: ``password.link``.
        """
        async with self._database.read() as connection:
            return str((await _by_link(connection, secret, now)).name)

    async def choose(self, secret: str, password: str, now: datetime) -> str:
        """The holder of a link has chosen; the link is spent, unless the password is refused.

        Raises:
            CoordinatorError: ``password.…``.
        """
        kept = await self._hash(password, await self.linked(secret, now))
        async with self._database.begin() as connection:
            row = await _by_link(connection, secret, now)
            await connection.execute(_changed(row.id).values(password=kept))
            await connection.execute(delete(password_links).where(password_links.c.user == row.id))
            await record(connection, Actor("user", row.name), "user.change", row.name, {"what": "sign-in"}, now)
        return str(row.name)

    async def recognise(self, name: str, password: str, address: str, now: datetime) -> Known:
        """Whose password this is. Unknown names, closed accounts and wrong passwords look alike and take as long.

        Raises:
            CoordinatorError: ``login.refused``, ``login.too_many`` or ``login.busy``.
        """
        account, where = folded(name[: 2 * MOST_NAME]), sender(address)
        if wait := self._guesses.start(account, where, now.timestamp()):
            raise CoordinatorError("login.too_many", wait_s=int(wait) + 1)
        async with self._database.read() as connection:
            row = await _row(connection, account)
        try:
            right = await self._hasher.verify(row.password if row is not None else None, password)
        except CoordinatorError:
            self._guesses.take_back(account, where)
            raise
        if row is None or not right:
            raise CoordinatorError("login.refused")
        self._guesses.take_back(account, where)
        if self._hasher.outdated(row.password):
            with contextlib.suppress(CoordinatorError):  # another time, then
                await self._renew(row.id, row.password, password)
        return Known(row.id, row.name, row.epoch)

    async def _renew(self, user: int, before: str, password: str) -> None:
        """Keep the same password at today's cost."""
        kept = await self._hasher.hash(password)
        async with self._database.begin() as connection:
            same = (users.c.id == user) & (users.c.password == before)
            await connection.execute(update(users).where(same).values(password=kept))

    async def _hash(self, password: str, name: str) -> str:
        passwords.check_rule(password, name, self._coordinator, "medmesh")
        return await self._hasher.hash(password)


async def _find(connection: AsyncConnection, name: str) -> Any:
    row = await _row(connection, folded(name))
    if row is None:
        shown = name if name.isprintable() else ascii(name)
        raise CoordinatorError("user.account_unknown", name=shown[:MOST_NAME])
    return row


async def _row(connection: AsyncConnection, account: str) -> Any:
    if not account.isprintable():  # nobody is called so, and not every database takes it
        return None
    query = select(users).where(users.c.folded == account, users.c.disabled.is_(False))
    return (await connection.execute(query)).first()


async def _by_link(connection: AsyncConnection, secret: str, now: datetime) -> Any:
    query = select(users, password_links.c.expires).join(password_links)
    row = (await connection.execute(query.where(password_links.c.secret_sha256 == _sha256(secret)))).first()
    if row is None or row.disabled or datetime.fromisoformat(row.expires) <= now:
        raise CoordinatorError("password.link")
    return row


def _changed(user: int) -> Any:
    """A change after which sessions are over."""
    return update(users).where(users.c.id == user).values(epoch=users.c.epoch + 1)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _state(row: Any) -> str:
    if row.disabled:
        return "removed"
    return "active" if row.password else "no_password"
