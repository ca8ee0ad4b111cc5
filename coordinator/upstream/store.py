"""The networks that were added, and what is believed of each."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.errors import CoordinatorError
from coordinator.store.database import Database
from coordinator.store.tables import models, upstream_revocations, upstreams
from coordinator.upstream.record import Record
from protocols.network import NetworkFile
from protocols.origin import KEY


@dataclass(frozen=True)
class Upstream:
    """One other network.

    Attributes:
        name: how it is called here.
        url: where it is asked.
        file: what was handed over.
        added: when.
        tried: when it was last asked; failure: what came of it, where nothing did.
        record: what was last verified; None: never.
    """

    name: str
    url: str
    file: NetworkFile
    added: datetime
    tried: datetime | None
    failure: dict[str, Any] | None
    record: Record | None


@dataclass(frozen=True)
class Copied:
    """A model version here that another network made."""

    model: str  # model@version
    release: str  # there


class UpstreamStore:
    """The rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Upstream]:
        """All networks, by name."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(upstreams).order_by(upstreams.c.name))).all()
        return [_upstream(row) for row in rows]

    async def get(self, name: str) -> Upstream:
        """One network.

        Raises:
            CoordinatorError: ``upstream.unknown``.
        """
        found = next((u for u in await self.all() if u.name == name), None)
        if found is None:
            raise CoordinatorError("upstream.unknown", name=name)
        return found

    async def add(self, name: str, url: str, file: NetworkFile, believed: Record, now: datetime) -> None:
        """Add a network that was verified.

        Raises:
            CoordinatorError: ``upstream.exists``.
        """
        async with self._database.begin() as connection:
            if (await connection.execute(select(upstreams.c.name).where(upstreams.c.name == name))).first():
                raise CoordinatorError("upstream.exists", name=name)
            await connection.execute(
                upstreams.insert().values(
                    name=name,
                    url=url,
                    file=file.to_bytes().decode("utf-8"),
                    added=_text(now),
                    tried=_text(now),
                    failure=None,
                    record=_document(believed),
                )
            )
            root = hashlib.sha256(file.root).hexdigest()
            await record(connection, current.get(), "upstream.add", name, {"url": url, "root_sha256": root}, now)

    async def verified(self, name: str, record: Record, now: datetime) -> None:
        """Keep what was just verified."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(upstreams)
                .where(upstreams.c.name == name)
                .values(tried=_text(now), failure=None, record=_document(record))
            )

    async def failed(self, name: str, failure: dict[str, Any], now: datetime) -> None:
        """Keep why nothing was verified; what was before stays in force."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(upstreams).where(upstreams.c.name == name).values(tried=_text(now), failure=failure)
            )

    async def remove(self, name: str, now: datetime) -> None:
        """Forget a network. Models that came from it stay, with their origin; nobody hears of its revocations any more."""
        async with self._database.begin() as connection:
            await connection.execute(delete(upstreams).where(upstreams.c.name == name))
            await record(connection, current.get(), "upstream.remove", name, {}, now)

    async def copied(self, name: str) -> list[Copied]:
        """Model versions here that a network made."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(models.c.name, models.c.version, models.c.training))).all()
        found = [(f"{r.name}@{r.version}", r.training.get(KEY)) for r in rows]
        return [Copied(model, origin["release"]) for model, origin in found if origin and origin["upstream"] == name]

    async def stages(self) -> set[str]:
        """Digests of all files that models of our own making have; those of other networks and of strangers are left out."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(models.c.training))).all()
        own = [r.training for r in rows if not r.training.get(KEY) and not r.training.get("brought")]
        return {a["sha256"] for training in own for a in training.get("artifacts", ())}

    async def revocation(self, model: str) -> dict[str, str] | None:
        """What the origin of a model version here said when it revoked it, and what was done; None: it did not."""
        query = select(upstream_revocations).where(upstream_revocations.c.model == model)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else {"reason": row.reason, "seen": row.seen, "act": row.act}

    async def revocations(self) -> dict[str, dict[str, str]]:
        """The same for all versions."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(upstream_revocations))).all()
        return {r.model: {"reason": r.reason, "seen": r.seen, "act": r.act, "upstream": r.upstream} for r in rows}

    async def mark_revoked(self, upstream: str, model: str, reason: str, act: str, now: datetime) -> None:
        """Note that a version's origin revoked it, and what was done here."""
        async with self._database.begin() as connection:
            await connection.execute(
                upstream_revocations.insert().values(
                    model=model, upstream=upstream, reason=reason, act=act, seen=_text(now)
                )
            )


def _upstream(row: Any) -> Upstream:
    return Upstream(
        row.name,
        row.url,
        NetworkFile.from_bytes(row.file.encode("utf-8")),
        datetime.fromisoformat(row.added),
        None if row.tried is None else datetime.fromisoformat(row.tried),
        row.failure,
        None if row.record is None else _record(row.record),
    )


def _document(record: Record) -> dict[str, Any]:
    return {
        "document": base64.b64encode(record.document).decode("ascii"),
        "rollout_keys": sorted(record.rollout_keys),
        "time_floor": record.time_floor.isoformat(),
        "verified": record.verified.isoformat(),
        "revoked": dict(record.revoked),
    }


def _record(document: dict[str, Any]) -> Record:
    return Record(
        base64.b64decode(document["document"]),
        frozenset(document["rollout_keys"]),
        datetime.fromisoformat(document["time_floor"]),
        datetime.fromisoformat(document["verified"]),
        document["revoked"],
    )


def _text(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
