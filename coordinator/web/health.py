"""``/healthz`` for load balancers and ``/metrics`` for Prometheus."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases.repository import Repository
from coordinator.store.database import Database
from coordinator.store.tables import confirmations, jobs, nodes, results
from coordinator.web.observing import Meters
from coordinator.web.operations import Answer, Operation
from protocols import access
from protocols.access import Principal
from protocols.clock import Clock

LEAST_FREE_BYTES: Final = 200 * 1024**2
LEAST_LEFT: Final = timedelta(days=2)  # of the timestamp's week; it is renewed daily
_WAIT_S = 5.0
_FRESH = (("hour", timedelta(hours=1)), ("day", timedelta(days=1)), ("week", timedelta(days=7)))


@dataclass(frozen=True)
class Health:
    """Finds out how the coordinator is."""

    home: Home
    database: Database
    repository: Repository
    links: Callable[[], int]  # nodes on the line
    meters: Meters
    clock: Clock

    async def check(self) -> None:
        """Whether everything that serving needs is there.

        Raises:
            CoordinatorError: ``health.database``, ``health.storage`` or ``health.stale``; no more is said to strangers.
        """
        try:
            async with asyncio.timeout(_WAIT_S), self.database.read() as connection:
                await connection.execute(select(nodes.c.id).limit(1))
        except (SQLAlchemyError, CoordinatorError, OSError) as error:
            raise CoordinatorError("health.database") from error
        if shutil.disk_usage(self.home.base).free < LEAST_FREE_BYTES:
            raise CoordinatorError("health.storage")
        try:
            left = await asyncio.to_thread(self._left)
        except Exception as error:  # python-tuf raises many kinds for a file that is damaged
            raise CoordinatorError("health.stale") from error
        if left < LEAST_LEFT:
            raise CoordinatorError("health.stale")

    def _left(self) -> timedelta:
        return self.repository.timestamp().signed.expires - self.clock()

    async def text(self) -> bytes:
        """What Prometheus reads."""
        registry = CollectorRegistry()
        for name, (told, label, values) in (await self._counted()).items():
            gauge = Gauge(name, told, [label] if label else [], registry=registry)
            for key, value in values.items():
                (gauge.labels(key) if label else gauge).set(value)
        return generate_latest(registry) + generate_latest(self.meters.registry)

    async def _counted(self) -> dict[str, tuple[str, str, dict[str, float]]]:
        """Gauges by name: what it is, the label's name, values."""
        now = self.clock()
        async with self.database.read() as connection:
            by_state = (await connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))).all()
            fresh = (await connection.execute(_freshness(now))).all()
            taken = int(await connection.scalar(select(func.count()).select_from(results)) or 0)
            words = int(await connection.scalar(select(func.count()).select_from(confirmations)) or 0)
        standing = {"queued": 0, "running": 0, "done": 0, "failed": 0, "cancelled": 0}
        seen = dict.fromkeys((*(n for n, _ in _FRESH), "older", "never"), 0)
        left = (await asyncio.to_thread(self._left)).total_seconds()
        return {
            "medmesh_jobs": ("Jobs by state", "state", {**standing, **{str(s): n for s, n in by_state}}),
            "medmesh_nodes": ("Nodes by when they were last seen", "seen", {**seen, **{str(s): n for s, n in fresh}}),
            "medmesh_results_taken": ("Results in the store", "", {"": taken}),
            "medmesh_confirmations_taken": ("Clinicians' words in the store", "", {"": words}),
            "medmesh_node_links": ("Nodes on the line", "", {"": self.links()}),
            "medmesh_disk_free_bytes": ("Room for the home", "", {"": shutil.disk_usage(self.home.base).free}),
            "medmesh_timestamp_expires_seconds": ("Until nodes call the signatures stale", "", {"": left}),
        }


def _freshness(now: datetime) -> Any:
    since = [(nodes.c.last_seen >= (now - age).isoformat(timespec="seconds"), name) for name, age in _FRESH]
    seen = case((nodes.c.last_seen.is_(None), "never"), *since, else_="older")
    return select(seen, func.count()).where(~nodes.c.revoked).group_by(seen)


def operations(health: Health) -> list[Operation]:
    """The two rows."""

    async def healthz(_: Request) -> Response:
        await health.check()
        return JSONResponse({"ok": True})

    async def metrics(_: Request, _who: Principal) -> Response:
        return Response(await health.text(), media_type=CONTENT_TYPE_LATEST)

    is_well = {"type": "object", "required": ["ok"], "properties": {"ok": {"const": True}}}
    return [
        Operation(
            "GET", "/healthz", healthz, "Whether the coordinator can serve; 503 with a code where it cannot",
            [Answer(200, "Well", schema=is_well)], public="Tells whether, never why",
        ),
        Operation(
            "GET", "/metrics", metrics, "Counts for Prometheus",
            [Answer(200, "Text format", "text/plain", {"type": "string"})], rights=frozenset({access.VIEW}),
        ),
    ]  # fmt: skip
