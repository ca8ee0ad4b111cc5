"""API tokens in the store."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from coordinator.access.roles import check_gift
from coordinator.audit import record
from coordinator.audit.actor import current, moment
from coordinator.errors import CoordinatorError
from coordinator.store.database import Database
from coordinator.store.tables import tokens
from protocols import access
from protocols.access import Failures, Kept, Principal, Token


class Tokens:
    """Makes, lists, revokes and checks tokens."""

    def __init__(self, database: Database, ca_sha256: str) -> None:
        self._database = database
        self._ca_sha256 = ca_sha256
        self._failures = Failures()

    async def create(
        self,
        owner: str | None,
        scopes: Collection[str],
        life: timedelta,
        now: datetime,
        by: Principal | None = None,
    ) -> dict[str, Any]:
        """Make a token; its text is in the answer and nowhere else. Without an owner it stands for itself alone.

        Raises:
            CoordinatorError: ``access.denied`` where ``by`` lacks a right that the token would have.
        """
        check_gift(by, scopes)
        token = access.make(self._ca_sha256, secrets.token_bytes(access.ID_BYTES + access.SECRET_BYTES))
        row = {
            "id": token.id,
            "owner": owner or token.id,
            "scopes": sorted(set(scopes)),
            "created": now.isoformat(timespec="seconds"),
            "expires": (now + life).isoformat(timespec="seconds"),
        }
        async with self._database.begin() as connection:
            await connection.execute(tokens.insert().values(**row, secret_sha256=token.secret_sha256))
            told = {k: row[k] for k in ("owner", "scopes", "expires")}
            await record(connection, current.get(), "token.create", token.id, told, now)
        return {"token": token.encode(), **row}

    async def list(self, now: datetime) -> list[dict[str, Any]]:
        """All tokens without their secrets, oldest first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(tokens).order_by(tokens.c.created, tokens.c.id))).all()
        return [
            {
                "id": r.id,
                "owner": r.owner,
                "scopes": r.scopes,
                "created": r.created,
                "expires": r.expires,
                "state": _state(r, now),
            }
            for r in rows
        ]

    async def revoke(self, token: str) -> dict[str, Any]:
        """End a token by its id.

        Raises:
            CoordinatorError: ``token.unknown``.
        """
        async with self._database.begin() as connection:
            changed = await connection.execute(update(tokens).where(tokens.c.id == token).values(revoked=True))
            if not changed.rowcount:
                raise CoordinatorError("token.unknown", name=token)
            await record(connection, current.get(), "token.revoke", token, {}, moment())
        return {"id": token, "revoked": True}

    async def check(self, credential: str, address: str, now: datetime) -> Principal:
        """What the bearer of ``credential`` may do.

        Wrong tokens are counted for each address and token id, so that a misconfigured script does not lock out its
        neighbours behind the same address.

        Raises:
            CoordinatorError: ``token.too_many_failures``.
            MedMeshError: ``token.malformed`` or ``token.refused``.
        """
        now_s = now.timestamp()
        token = Token.decode(credential)
        keys = (f"{address} {token.id}", address)
        if self._failures.blocked(keys[0], now_s):
            raise CoordinatorError("token.too_many_failures", wait_s=int(Failures.WINDOW_S))
        async with self._database.read() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == token.id))).first()
        found = access.holder(token, _kept(row) if row is not None else None, now)
        if found is None:
            blocked = self._failures.blocked(keys[1], now_s)
            for key in keys:
                self._failures.add(key, now_s)
            if blocked:
                raise CoordinatorError("token.too_many_failures", wait_s=int(Failures.WINDOW_S))
            raise CoordinatorError("token.refused")
        return found


def _kept(row: Any) -> Kept:
    expires = datetime.fromisoformat(row.expires)
    return Kept(row.id, row.owner, row.secret_sha256, frozenset(row.scopes), expires, row.revoked)


def _state(row: Any, now: datetime) -> str:
    if row.revoked:
        return "revoked"
    return "expired" if datetime.fromisoformat(row.expires) <= now else "valid"
