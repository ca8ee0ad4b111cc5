"""Fetching one artifact from several sources that may be slow, gone or lying."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from edge_node.errors import DamagedBytesError, EdgeError, RangelessError, SourceError, UnreachableError
from edge_node.transfer.partial import PartialFile
from edge_node.transfer.parts import Parts
from edge_node.transfer.patience import pauses_s
from edge_node.transfer.source import Progress, Source
from edge_node.transfer.swarm import Alone, Mesh, Swarm
from protocols.artifacts import Artifact
from protocols.chunks import digests, list_of

_STRIKES = 2
_PAUSE_S = 0.5
_OUTAGE_S = 10.0  # without an answer from anybody, as for chunks


class Shelf(Protocol):
    """Where finished artifacts stand."""

    async def holds(self, artifact: Artifact) -> bool:
        """Whether it is there, whole and unaltered."""
        ...

    def bytes_needed(self, files: Collection[Artifact]) -> int:
        """What of them has not arrived."""
        ...

    def partial(self, artifact: Artifact) -> PartialFile:
        """What has arrived of it so far."""
        ...

    def parts(self, artifact: Artifact, digests: Sequence[str]) -> Parts:
        """What has arrived of it so far in chunks."""
        ...

    def path(self, sha256: str) -> Path:
        """Where a finished artifact stands."""
        ...

    async def accept(self, artifact: Artifact, partial: PartialFile) -> None:
        """Take a checked file over."""
        ...


async def _nobody() -> None:
    return None


async def _free(_: int) -> None:
    return None


class ArtifactFetcher:
    """Brings artifacts onto the shelf, verified: chunk by chunk from peers and sources where there are digests of the
    chunks, else whole from the first source that delivers.
    """

    def __init__(
        self,
        shelf: Shelf,
        sources: Sequence[Source],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        mesh: Callable[[], Awaitable[Mesh | None]] = _nobody,
        afford: Callable[[int], Awaitable[None]] = _free,
        patience_s: float = _OUTAGE_S,
    ) -> None:
        """Prepare; nobody is asked yet.

        Args:
            shelf: where finished artifacts stand.
            sources: asked in this order.
            sleep: passes the time.
            mesh: gives the peers; not called before something has to be fetched.
            afford: raises LimitError for what the sources alone would have to give and the user does not allow.
            patience_s: how long to go on trying for what has no chunks while nobody answers, seconds.
        """
        self._shelf = shelf
        self._sources = sources
        self._sleep = sleep
        self._mesh = mesh
        self._afford = afford
        self._patience_s = patience_s

    async def fetch(self, artifact: Artifact, progress: Progress = lambda _: None) -> bool:
        """Make sure that ``artifact`` is on the shelf; returns whether anything had to be fetched.

        Args:
            artifact: what is wanted; its size is the most that is ever read.
            progress: called with the number of bytes that just arrived.

        Raises:
            SourceError: no source delivered it; what arrived is kept for the next time.
            LimitError: it may not come over the WAN, and nobody near has it.
        """
        if await self._shelf.holds(artifact):
            return False
        mesh = await self._mesh()
        if mesh is None or not mesh.peers:
            await self._afford(self._shelf.bytes_needed([artifact]))
        patience_s = self._patience_s
        try:
            chunks = await self._digests(artifact)
        except SourceError as error:  # a list that cannot be had is done without
            chunks = None
            if isinstance(error, UnreachableError):
                patience_s = 0.0  # there was no answer for as long already
        if chunks is not None and (mesh is not None or len(chunks) > 1):
            try:
                await self._swarm(artifact, self._shelf.parts(artifact, chunks), mesh or Alone(), progress)
                return True
            except RangelessError:
                pass  # whole, then
        with self._shelf.partial(artifact) as partial:
            progress(partial.received)
            await self._collect(artifact, partial, progress, patience_s)
            await self._shelf.accept(artifact, partial)
        return True

    async def _swarm(self, artifact: Artifact, parts: Parts, mesh: Mesh, progress: Progress) -> None:
        swarm = Swarm(artifact, parts, self._sources, mesh, progress, self._sleep)
        with swarm.shared():
            await swarm.run()
            with self._shelf.partial(artifact) as partial:
                await asyncio.to_thread(parts.pour, partial)
                await self._shelf.accept(artifact, partial)
        parts.discard()

    async def _digests(self, artifact: Artifact) -> list[str] | None:
        """The digests of its chunks; None where it is not cut into any.

        Raises:
            SourceError: their list cannot be had.
        """
        chunk_list = list_of(artifact)
        if chunk_list is None:
            return digests(artifact, None)
        await self.fetch(chunk_list)
        return digests(artifact, self._shelf.path(chunk_list.sha256).read_bytes())

    async def _collect(self, artifact: Artifact, partial: PartialFile, progress: Progress, patience_s: float) -> None:
        """Go round the sources as long as a round brings something new, or nobody answered and somebody still may; two
        wrong deliveries put a source out.
        """
        strikes = [0] * len(self._sources)
        failure: EdgeError = UnreachableError("edge.no_source", artifact=artifact.sha256[:12])
        pauses = pauses_s(patience_s)
        while True:
            moving = False
            for number, source in enumerate(self._sources):
                if strikes[number] >= _STRIKES:
                    continue
                before = partial.received
                try:
                    await self._read(source, artifact, partial, progress)
                    partial.check()
                    return
                except DamagedBytesError as error:
                    failure = error
                    strikes[number] += 1
                    progress(-partial.received)
                    partial.restart()
                    moving = True
                except SourceError as error:
                    failure = error
                    moving = moving or partial.received > before
            if moving:
                pauses = pauses_s(patience_s)
                await self._sleep(_PAUSE_S)
            elif isinstance(failure, UnreachableError) and any(n < _STRIKES for n in strikes):
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise failure
                await self._sleep(pause_s)
            else:
                raise failure

    async def _read(self, source: Source, artifact: Artifact, partial: PartialFile, progress: Progress) -> None:
        if not partial.missing_bytes:
            return
        async with aclosing(source.read(artifact, partial.received)) as stream:
            async for data in stream:
                partial.append(data)
                progress(len(data))
        if partial.missing_bytes:
            raise UnreachableError("edge.broken_off", artifact=artifact.sha256[:12])
