"""The queue of jobs in the store. A job is claimed with a lease, so that no two runners have it at once."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.audit import record
from coordinator.audit.actor import Actor, current
from coordinator.errors import CoordinatorError
from coordinator.jobs.curves import Curves
from coordinator.store.database import Database
from coordinator.store.tables import jobs
from protocols.errors import MedMeshError

LEASE: Final = timedelta(seconds=20)
ENDED: Final = ("done", "failed", "cancelled")
_KEPT: Final = timedelta(days=180)
_LISTED: Final = 200
SOMEBODY_HERE: Final = Actor("local", "")


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    kind: str  # import | model_import | train | propose
    subject: str
    owner: str  # empty: the keeper
    scopes: frozenset[str]
    options: dict[str, Any]
    upload: str | None = None


@dataclass(frozen=True)
class Job:
    """A job that a runner has."""

    id: str
    request: Request
    attempts: int  # this one included
    asked_by: Actor = SOMEBODY_HERE  # who did all that the job does
    curves: Curves = field(default_factory=list)  # of earlier attempts: a training goes on where it was


async def enqueue(connection: AsyncConnection, request: Request, now: datetime, most: int | None = None) -> str:
    """Put a job at the end of the queue, within the caller's transaction; returns its id.

    Raises:
        CoordinatorError: ``job.too_many`` where ``most`` jobs of the owner wait already.
    """
    if most is not None:
        mine = (jobs.c.owner == request.owner) & jobs.c.state.not_in(ENDED)
        if int(await connection.scalar(select(func.count()).where(mine)) or 0) >= most:
            raise CoordinatorError("job.too_many", limit=most)
    job = secrets.token_hex(5)
    await connection.execute(
        jobs.insert().values(
            id=job,
            kind=request.kind,
            subject=request.subject,
            owner=request.owner,
            asked_by=asdict(current.get()),
            scopes=sorted(request.scopes),
            upload=request.upload,
            options=request.options,
            state="queued",
            created=now.isoformat(timespec="seconds"),
        )
    )
    act = "job.queue" if request.upload is None else "upload.complete"
    await record(connection, current.get(), act, request.subject, {"job": job, "kind": request.kind}, now)
    return job


class Queue:
    """Jobs in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, request: Request, now: datetime) -> dict[str, Any]:
        """Queue a job."""
        async with self._database.begin() as connection:
            job = await enqueue(connection, request, now)
        return await self.show(job)

    async def claim(self, runner: str, at_once: int, most_attempts: int, now: datetime) -> Job | None:
        """Take the next job, or one whose runner died; None: nothing may run now.

        Jobs that write to the same thing never run together. One that was tried too often ends as failed.
        """
        async with self._database.begin() as connection:
            held = await connection.execute(
                select(jobs.c.subject).where(jobs.c.state == "running", jobs.c.lease > now.isoformat())
            )
            subjects = list(held.scalars())
            if len(subjects) >= at_once:
                return None
            dead = (jobs.c.state == "running") & (jobs.c.lease <= now.isoformat())
            waiting = await connection.execute(
                select(jobs)
                .where(or_(jobs.c.state == "queued", dead), jobs.c.subject.not_in(subjects))
                .order_by(jobs.c.number)
            )
            for row in waiting:
                if row.cancel or row.attempts >= most_attempts:
                    await connection.execute(update(jobs).where(jobs.c.id == row.id).values(**_given_up(row, now)))
                    continue
                values = {
                    "state": "running",
                    "attempts": row.attempts + 1,
                    "runner": runner,
                    "lease": (now + LEASE).isoformat(),
                    "started": now.isoformat(timespec="seconds"),
                    "part": "",
                    "done": 0,
                    "total": 0,
                }
                as_seen = (jobs.c.id == row.id) & (jobs.c.state == row.state) & (jobs.c.attempts == row.attempts)
                if (await connection.execute(update(jobs).where(as_seen).values(**values))).rowcount:
                    return _job(row, row.attempts + 1)
        return None

    async def waiting(self, now: datetime) -> bool:
        """Whether there may be something to claim; only reads, so that an idle server leaves the database alone."""
        dead = (jobs.c.state == "running") & (jobs.c.lease <= now.isoformat())
        async with self._database.read() as connection:
            return await connection.scalar(select(jobs.c.id).where(or_(jobs.c.state == "queued", dead))) is not None

    async def held(self, job: str, runner: str) -> Job | None:
        """A job as its runner claimed it; None: it has it no more."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(jobs).where(_held(job, runner)))).first()
        return None if row is None else _job(row, row.attempts)

    async def cancel_asked(self, job: str) -> bool:
        """Whether somebody wants a job to stop."""
        async with self._database.read() as connection:
            return bool(await connection.scalar(select(jobs.c.cancel).where(jobs.c.id == job)))

    async def renew(self, job: str, runner: str, progress: tuple[str, int, int], curves: Curves, now: datetime) -> str:
        """Keep a job and tell how far it is; returns ``go on``, ``cancel`` or ``lost``."""
        part, done, total = progress
        async with self._database.begin() as connection:
            changed = await connection.execute(
                update(jobs)
                .where(_held(job, runner))
                .values(lease=(now + LEASE).isoformat(), part=part[:40], done=done, total=total, curves=curves)
            )
            if not changed.rowcount:
                return "lost"
            return "cancel" if await connection.scalar(select(jobs.c.cancel).where(jobs.c.id == job)) else "go on"

    async def finish(self, job: str, runner: str, result: dict[str, Any], then: Request | None, now: datetime) -> None:
        """Record a result, and queue what follows from it, in one transaction; nothing where the job was lost."""
        async with self._database.begin() as connection:
            if not await connection.scalar(select(func.count()).where(_held(job, runner))):
                return
            if then is not None:
                result = {**result, "train_job": await enqueue(connection, then, now)}
            await connection.execute(update(jobs).where(jobs.c.id == job).values(**_ended("done", now), result=result))

    async def fail(self, job: str, runner: str, error: dict[str, Any], now: datetime) -> None:
        """Record why a job failed."""
        await self._end(job, runner, {**_ended("failed", now), "error": error})

    async def stopped(self, job: str, runner: str, now: datetime) -> None:
        """Record that a job was cancelled."""
        error = failure(CoordinatorError("job.cancelled", job=job))
        await self._end(job, runner, {**_ended("cancelled", now), "error": error})

    async def give_back(self, job: str, runner: str, counted: bool) -> None:
        """Put a job back: its process died (``counted`` as an attempt), or the server stops (not counted)."""
        values: dict[str, Any] = {"state": "queued", "runner": None, "lease": None}
        if not counted:
            values["attempts"] = jobs.c.attempts - 1
        await self._end(job, runner, values)

    async def _end(self, job: str, runner: str, values: dict[str, Any]) -> None:
        async with self._database.begin() as connection:
            await connection.execute(update(jobs).where(_held(job, runner)).values(**values))

    async def cancel(self, job: str, owner: str | None, now: datetime) -> dict[str, Any]:
        """Cancel a waiting job at once, a running one soon.

        Args:
            job: its id.
            owner: only a job of theirs; None: anybody's.
            now: when.

        Raises:
            CoordinatorError: ``job.unknown`` or ``job.ended``.
        """
        async with self._database.begin() as connection:
            row = (await connection.execute(select(jobs).where(_visible(job, owner)))).first()
            if row is None:
                raise CoordinatorError("job.unknown", job=job)
            if row.state in ENDED:
                raise CoordinatorError("job.ended", job=job, state=row.state)
            values: dict[str, Any] = {"cancel": True}
            if row.state == "queued":
                values |= {**_ended("cancelled", now), "error": failure(CoordinatorError("job.cancelled", job=job))}
            await connection.execute(update(jobs).where(jobs.c.id == job).values(**values))
            told = {"kind": row.kind, "of": row.subject, "state": row.state}
            await record(connection, current.get(), "job.cancel", job, told, now)
        return await self.show(job)

    async def forget(self, now: datetime) -> None:
        """Delete jobs that ended long ago, with their results."""
        old = (now - _KEPT).isoformat(timespec="seconds")
        async with self._database.begin() as connection:
            await connection.execute(delete(jobs).where(jobs.c.state.in_(ENDED), jobs.c.ended < old))

    async def show(self, job: str, owner: str | None = None) -> dict[str, Any]:
        """One job with its result or error.

        Raises:
            CoordinatorError: ``job.unknown``.
        """
        async with self._database.read() as connection:
            row = (await connection.execute(select(jobs).where(_visible(job, owner)))).first()
        if row is None:
            raise CoordinatorError("job.unknown", job=job)
        return {**_line(row), "result": row.result, "error": row.error}

    async def curves(self, job: str) -> Curves:
        """Training curves of a job; none where it has none or is forgotten."""
        async with self._database.read() as connection:
            return await connection.scalar(select(jobs.c.curves).where(jobs.c.id == job)) or []

    async def list(self, owner: str | None = None) -> list[dict[str, Any]]:
        """The newest jobs first, without results."""
        query = select(jobs).order_by(jobs.c.number.desc()).limit(_LISTED)
        if owner is not None:
            query = query.where(jobs.c.owner == owner)
        async with self._database.read() as connection:
            return [_line(r) for r in await connection.execute(query)]


def failure(error: MedMeshError) -> dict[str, Any]:
    """An error as a job keeps it: in both languages, since the reader is not known yet."""
    return {
        "code": error.code,
        "exit_code": error.kind.exit_code,
        "message": {"en": error.message("en"), "zh": error.message("zh")},
        "remedy": {"en": error.remedy("en"), "zh": error.remedy("zh")},
    }


def _ended(state: str, now: datetime) -> dict[str, Any]:
    return {"state": state, "ended": now.isoformat(timespec="seconds"), "runner": None, "lease": None}


def _given_up(row: Any, now: datetime) -> dict[str, Any]:
    if row.cancel:
        return {**_ended("cancelled", now), "error": failure(CoordinatorError("job.cancelled", job=row.id))}
    return {**_ended("failed", now), "error": failure(CoordinatorError("job.crashed", attempts=row.attempts))}


def _held(job: str, runner: str) -> Any:
    return (jobs.c.id == job) & (jobs.c.state == "running") & (jobs.c.runner == runner)


def _visible(job: str, owner: str | None) -> Any:
    return (jobs.c.id == job) if owner is None else (jobs.c.id == job) & (jobs.c.owner == owner)


def _request(row: Any) -> Request:
    return Request(row.kind, row.subject, row.owner, frozenset(row.scopes), row.options, row.upload)


def _job(row: Any, attempts: int) -> Job:
    # An earlier version kept no kind; those who were not here mostly used a token.
    unknown = Actor("token", row.owner) if row.owner else SOMEBODY_HERE
    asked_by = unknown if row.asked_by is None else Actor(**row.asked_by)
    return Job(row.id, _request(row), attempts, asked_by, row.curves or [])


def _line(row: Any) -> dict[str, Any]:
    return {
        "job": row.id,
        "kind": row.kind,
        "subject": row.subject,
        "owner": row.owner,
        "state": row.state,
        "part": row.part,
        "done": row.done,
        "total": row.total,
        "attempts": row.attempts,
        "created": row.created,
        "started": row.started,
        "ended": row.ended,
    }
