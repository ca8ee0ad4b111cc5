"""Fetching one artifact from several sources that may be slow, gone or lying."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from edge_node.errors import DamagedBytesError, EdgeError, SourceError, UnreachableError
from edge_node.transfer.partial import PartialFile
from protocols.artifacts import Artifact

_STRIKES = 2
_PAUSE_S = 0.5

Progress = Callable[[int], None]


class Source(Protocol):
    """Something that may hold artifacts: the coordinator, later a peer or a mirror."""

    def read(self, artifact: Artifact, start: int) -> AsyncGenerator[bytes, None]:
        """Yield the artifact's bytes from ``start`` on, as they come; they are not to be believed.

        Raises:
            SourceError: unreachable, broken off, or without this artifact.
        """
        ...


class Shelf(Protocol):
    """Where finished artifacts stand."""

    async def holds(self, artifact: Artifact) -> bool:
        """Whether it is there, whole and unaltered."""
        ...

    def partial(self, artifact: Artifact) -> PartialFile:
        """What has arrived of it so far."""
        ...

    async def accept(self, artifact: Artifact, partial: PartialFile) -> None:
        """Take a checked file over."""
        ...


class ArtifactFetcher:
    """Brings artifacts onto the shelf, verified, from the first source that delivers."""

    def __init__(
        self, shelf: Shelf, sources: Sequence[Source], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._shelf = shelf
        self._sources = sources
        self._sleep = sleep

    async def fetch(self, artifact: Artifact, progress: Progress = lambda _: None) -> bool:
        """Make sure that ``artifact`` is on the shelf; returns whether anything had to be fetched.

        Args:
            artifact: what is wanted; its size is the most that is ever read.
            progress: called with the number of bytes that just arrived.

        Raises:
            SourceError: no source delivered it; what arrived is kept for the next time.
        """
        if await self._shelf.holds(artifact):
            return False
        with self._shelf.partial(artifact) as partial:
            progress(partial.received)
            await self._collect(artifact, partial, progress)
            await self._shelf.accept(artifact, partial)
        return True

    async def _collect(self, artifact: Artifact, partial: PartialFile, progress: Progress) -> None:
        """Go round the sources as long as a round brings something new; two wrong deliveries put a source out."""
        strikes = [0] * len(self._sources)
        failure: EdgeError = UnreachableError("edge.no_source", artifact=artifact.sha256[:12])
        moving = True
        while moving:
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
                await self._sleep(_PAUSE_S)
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
