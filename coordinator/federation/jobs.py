"""Federated runs in the store: asked for by a command, worked off by the running server, seen by both."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from coordinator.audit import record
from coordinator.audit.actor import current, moment
from coordinator.errors import CoordinatorError
from coordinator.store.database import Database
from coordinator.store.tables import federations
from protocols.federation.choice import Strategy
from protocols.federation.exchange import Exchange

UNFINISHED = ("queued", "running", "stopping")


@dataclass(frozen=True)
class Options:
    """What the person who starts a run decides.

    Attributes:
        rounds: how many.
        strategy: None: by the number of sites.
        least_sites: fewest that make a run.
        deadline_s: longest time for the answers of a round.
        gather_s: how long the first round waits for more sites.
        wait_s: longest wait for a quorum.
        exchange: form of the changes.
        clip, noise: for privacy; 0: none.
    """

    rounds: int = 20
    strategy: Strategy | None = None
    least_sites: int = 2
    deadline_s: float = 120.0
    gather_s: float = 30.0
    wait_s: float = 3600.0
    exchange: Exchange = "float16"
    clip: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class Job:
    """One run."""

    id: str
    model: str
    state: str
    options: Options
    document: dict[str, Any]


class Jobs:
    """Runs in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, model: str, options: Options, now: datetime) -> Job:
        """Ask for a run.

        Raises:
            CoordinatorError: ``federation.running``: one at a time.
        """
        async with self._database.begin() as connection:
            busy = await connection.scalar(select(federations.c.model).where(federations.c.state.in_(UNFINISHED)))
            if busy is not None:
                raise CoordinatorError("federation.running", model=busy)
            number = int(await connection.scalar(select(func.max(federations.c.number))) or 0) + 1
            name = secrets.token_hex(4)
            await connection.execute(
                federations.insert().values(
                    id=name,
                    number=number,
                    model=model,
                    state="queued",
                    options=asdict(options),
                    document={"rounds": options.rounds},
                    created=now.isoformat(timespec="seconds"),
                )
            )
            told = {"run": name, **asdict(options)}
            await record(connection, current.get(), "federation.start", model, told, now)
        return Job(name, model, "queued", options, {"rounds": options.rounds})

    async def newest(self, name: str | None = None) -> Job:
        """The run with this id, or the newest.

        Raises:
            CoordinatorError: ``federation.unknown``.
        """
        query = select(federations).order_by(federations.c.number.desc()).limit(1)
        if name is not None:
            query = query.where(federations.c.id == name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise CoordinatorError("federation.unknown", name=name or "-")
        return _job(row)

    async def unfinished(self) -> Job | None:
        """The run that is to be worked off."""
        query = select(federations).where(federations.c.state.in_(UNFINISHED)).order_by(federations.c.number)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _job(row)

    async def stop(self, name: str | None) -> Job:
        """Ask a run to stop after its round.

        Raises:
            CoordinatorError: ``federation.unknown`` or ``federation.not_running``.
        """
        job = await self.newest(name)
        if job.state not in UNFINISHED:
            raise CoordinatorError("federation.not_running", model=job.model)
        await self.note(job.id, "stopping", act="federation.stop")
        return await self.newest(job.id)

    async def note(
        self,
        name: str,
        state: str | None = None,
        document: dict[str, Any] | None = None,
        act: str = "federation.result",
    ) -> None:
        """Keep how a run stands. Whoever asked to stop is not overruled by a round that was under way.

        Its end, and with another ``act`` that somebody wants it to stop, goes into the audit trail.
        """
        values: dict[str, Any] = {} if document is None else {"document": document}
        statement = update(federations).where(federations.c.id == name)
        if state is not None:
            values["state"] = state
            if state == "running":
                statement = statement.where(federations.c.state != "stopping")
        async with self._database.begin() as connection:
            await connection.execute(statement.values(**values))
            if state not in (None, "running"):
                model = await connection.scalar(select(federations.c.model).where(federations.c.id == name))
                await record(connection, current.get(), act, str(model), {"run": name, "state": state}, moment())


def _job(row: Any) -> Job:
    return Job(row.id, row.model, row.state, Options(**row.options), dict(row.document))
