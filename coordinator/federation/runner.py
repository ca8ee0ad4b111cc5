"""Works off federated runs while the server runs: the rounds in a thread, the lines in the gateway's loop.

A run that was under way when the server ended goes on from its checkpoint when it starts again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from coordinator.audit.actor import Actor, current
from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.federation.jobs import Job, Jobs
from coordinator.federation.lines import Lines
from coordinator.federation.progress import Progress
from coordinator.home import Home
from coordinator.intake.datasets import Datasets, Sample
from coordinator.releases.models import Models
from coordinator.store.database import Database
from protocols.clock import Clock
from protocols.errors import MedMeshError
from protocols.federation.verdict import SHARED

if TYPE_CHECKING:
    from coordinator.federation.checkpoint import State
    from coordinator.federation.start import Start
    from protocols.federation.verdict import Verdict
    from protocols.manifest import ReleaseManifest

_log = logging.getLogger("medmesh.federation")
_LOOK_EVERY_S = 1.0
_RETRY_S = 30.0
_USUAL_STRENGTH = 1e-3
LINEAR_PROXIMITY, SPATIAL_PROXIMITY = 10.0, 0.1


class FederationRunner:
    """One for each server."""

    def __init__(
        self,
        lines: Lines,
        database: Database,
        home: Home,
        models: Models,
        engine: Engine,
        clock: Clock,
        maps_mb: int,
    ) -> None:
        """Args: lines: to the nodes; maps_mb: of the disk, for cached maps. The others as they are called."""
        self._lines = lines
        self._jobs = Jobs(database)
        self._datasets = Datasets(database, home, engine)
        self._home = home
        self._models = models
        self._engine = engine
        self._clock = clock
        self._maps_mb = maps_mb
        self._is_stopped = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the block lasts."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            self._is_stopped = True  # the thread ends at its next look, and the run goes on after the next start
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _work(self) -> None:
        current.set(Actor("system", "federation"))  # of this task alone
        while True:
            try:
                job = await self._jobs.unfinished()
                if job is not None:
                    await self._run(job)
            except Exception:  # such as a store that is locked, or a full disk: the run goes on from its checkpoint
                _log.exception("federated runs cannot be worked off now; trying again")
                await asyncio.sleep(_RETRY_S)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _run(self, job: Job) -> None:
        from coordinator.federation.rounds import Stopped

        if job.state == "stopping":
            await self._jobs.note(job.id, "stopped")
            return
        await self._jobs.note(job.id, "running")
        watch = asyncio.create_task(self._watch(job.id))
        try:
            await self._refine(job)
        except Stopped:
            await self._jobs.note(job.id, "stopped")
        except MedMeshError as error:
            document = {**(await self._jobs.newest(job.id)).document, **error.document()}
            await self._jobs.note(job.id, "failed", document)
        except (OSError, SQLAlchemyError):
            raise
        except Exception as error:
            _log.exception("a federated run failed")
            failure = CoordinatorError("defect", fault=type(error).__name__)
            document = {**(await self._jobs.newest(job.id)).document, **failure.document()}
            await self._jobs.note(job.id, "failed", document)
        finally:
            watch.cancel()

    async def _watch(self, name: str) -> None:
        """Whether somebody asked to stop."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with suppress(SQLAlchemyError):  # a store that is locked now is asked again
                if (await self._jobs.newest(name)).state == "stopping":
                    self._is_stopped = True

    async def _refine(self, job: Job) -> None:
        from coordinator.federation import candidate

        self._is_stopped = False
        await asyncio.to_thread(self._forget_others, job)
        row = await self._models.row(job.model)
        manifest = self._models.read_manifest(row.manifest)
        samples = await self._datasets.samples(row.dataset)
        loop = asyncio.get_running_loop()
        progress = Progress(job, lambda document: self._tell(loop, job.id, document))
        start, state, verdict = await asyncio.to_thread(
            self._rounds, job, manifest, row.training, samples, loop, progress
        )
        report, shared = progress.report(state, verdict), verdict.heads.get(SHARED)
        version = await self._models.next_version(manifest.model)
        new, record = await asyncio.to_thread(
            candidate.make,
            manifest,
            row.training,
            start,
            state.head,
            state.labels,
            None if shared is None else (shared.mean, shared.sites),
            report,
            version,
            self._home,
            self._clock(),
        )
        await self._models.add(new, record, "model.federate")
        await self._jobs.note(job.id, "done", {**progress.document(state, verdict), "model": new.name})

    def _forget_others(self, job: Job) -> None:
        """What is left of earlier runs: nobody needs sites' own heads any more."""
        for folder in self._home.federation.glob("*"):
            if folder.name != job.id:
                shutil.rmtree(folder, ignore_errors=True)

    def _tell(self, loop: asyncio.AbstractEventLoop, name: str, document: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(self._jobs.note(name, None, document), loop).result(60)

    def _rounds(
        self,
        job: Job,
        manifest: ReleaseManifest,
        training: dict[str, Any],
        samples: list[Sample],
        loop: asyncio.AbstractEventLoop,
        progress: Progress,
    ) -> tuple[Start, State, Verdict]:
        """Everything that takes long; in a thread."""
        from coordinator.federation import start as starting
        from coordinator.federation.mesh_grid import MeshGrid, node_of
        from coordinator.federation.refinement import refine
        from coordinator.federation.rounds import Plan

        options = job.options
        begun = starting.prepare(manifest, training, samples, self._home, self._engine, self._maps_mb)
        proximity, anchor = _pulls(begun, training)
        plan = Plan(
            begun.subject,
            begun.labels,
            begun.standard,
            options.rounds,
            options.strategy,
            proximity=proximity,
            anchor=anchor,
            exchange=options.exchange,
            clip=options.clip,
            noise=options.noise,
            deadline_s=options.deadline_s,
            gather_s=options.gather_s,
            wait_s=options.wait_s,
            least_sites=options.least_sites,
        )
        state, verdict = refine(
            MeshGrid(self._lines, loop, progress.passed),
            plan,
            begun.head,
            self._home.federation / job.id,
            node_of,
            is_stopped=lambda: self._is_stopped,
            told=progress.round,
        )
        return begun, state, verdict


def _pulls(start: Start, training: dict[str, Any]) -> tuple[float, float]:
    """How strongly sites are held at the shared head, and that at the start.

    As strongly as a linear start was held at nothing when it was trained; a spatial head was not trained with such a term.
    """
    if start.subject.spatial is not None:
        return SPATIAL_PROXIMITY, 0.0
    return LINEAR_PROXIMITY, 1 / float(training.get("regularisation") or _USUAL_STRENGTH)
