"""Fetching one artifact chunk by chunk: from peers what they hold, over the WAN what nobody near does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager, suppress
from typing import ClassVar, Protocol

from edge_node.errors import DamagedBytesError, EdgeError, LimitError, RangelessError, SourceError, UnreachableError
from edge_node.transfer.parts import Parts
from edge_node.transfer.plan import Plan
from edge_node.transfer.source import Progress, Source
from protocols.artifacts import Artifact
from protocols.chunks import span
from protocols.peering import Claim, Distrust, Done, Gained, Get, Have, Lack, Message, Unclaim, Want

_LOADERS = 2  # the second hides the round trips of the first
_STRIKES = 2
_CLAIM_EVERY_S = 1.0
_TICK_S = 0.25
_INTRODUCTION_S = 0.5
_PAUSE_S = 0.5
_OUTAGE_S = 10.0  # without a byte from anywhere, while somebody may still come back


class Follower(Protocol):
    """What hears of one artifact while it is being fetched."""

    def held(self) -> Have:
        """What is here of it."""
        ...

    def claims(self) -> list[Claim]:
        """What is being fetched over the WAN now."""
        ...

    def read(self, index: int) -> bytes | None:
        """A chunk, for a peer; None: it is not here."""
        ...

    def heard(self, peer: str, message: Message) -> None:
        """A peer said something about it."""
        ...

    def received(self, peer: str, index: int, data: bytes) -> None:
        """A peer sent a chunk, not to be believed."""
        ...

    def left(self, peer: str) -> None:
        """A peer is gone."""
        ...


class Mesh(Protocol):
    """The peers that this node is linked to."""

    @property
    def instance(self) -> str:
        """The name of this process among them."""
        ...

    @property
    def peers(self) -> list[str]:
        """Who they are."""
        ...

    @property
    def answer_s(self) -> float:
        """How long a peer may take for a chunk."""
        ...

    def follow(self, artifact: str, follower: Follower) -> AbstractContextManager[None]:
        """Tell all peers, now and later, that the artifact is wanted, until the block is left."""
        ...

    def tell(self, artifact: str, message: Message) -> None:
        """Say something to all peers that want the artifact."""
        ...

    def ask(self, peer: str, message: Message) -> None:
        """Say something to one peer."""
        ...

    @property
    def gives(self) -> bool:
        """Whether peers take what this node has."""
        ...

    def expel(self, peer: str) -> None:
        """Believe nothing of a peer any longer."""
        ...


class Alone:
    """No peers."""

    instance = "0" * 16
    answer_s = 0.0
    peers: ClassVar[list[str]] = []
    gives = True

    @contextmanager
    def follow(self, artifact: str, follower: Follower) -> Iterator[None]:
        """Nobody is told."""
        yield

    def tell(self, artifact: str, message: Message) -> None:
        """Nobody hears."""

    def ask(self, peer: str, message: Message) -> None:
        """Nobody hears."""

    def expel(self, peer: str) -> None:
        """There is nobody."""


class Swarm:
    """Brings the chunks of one artifact together."""

    def __init__(
        self,
        artifact: Artifact,
        parts: Parts,
        sources: Sequence[Source],
        mesh: Mesh,
        progress: Progress,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._artifact = artifact
        self._parts = parts
        self._sources = sources
        self._strikes = [0] * len(sources)
        self._mesh = mesh
        self._progress = progress
        self._sleep = sleep
        self._now = now
        self._plan = Plan(mesh.instance, artifact.sha256, len(parts), parts.held, mesh.answer_s)
        self._changed = asyncio.Event()
        self._loads: dict[int, asyncio.Task[None]] = {}
        self._failure: EdgeError | None = None
        self._fault: OSError | None = None
        self._last_byte = self._looked = now()
        self._patience = 0.0  # seconds, by this node's own looks at the clock
        self._is_cut_off = False

    def shared(self) -> AbstractContextManager[None]:
        """To be held while it runs, and until peers can have the artifact from its final place."""
        return self._mesh.follow(self._artifact.sha256, self)

    async def run(self) -> None:
        """Return once every chunk is here.

        Raises:
            RangelessError: the sources give files as a whole only.
            SourceError: neither a source nor a peer delivers what is missing; what came is kept.
        """
        self._progress(sum(self._parts.tail(index) for index in range(len(self._parts))))
        await self._introductions()
        tasks = [asyncio.create_task(self._load_on()) for _ in range(_LOADERS)]
        try:
            while not self._plan.is_done:
                self._ask()
                if self._fault is not None:
                    raise self._fault
                if self._failure is not None and not self._plan.is_hopeful(self._now()):
                    raise self._failure
                await self._pause()
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _introductions(self) -> None:
        """Give all peers the time to say what they hold, so that nothing is fetched that is near."""
        end = self._now() + _INTRODUCTION_S
        while self._now() < end and not all(map(self._plan.has_said, self._mesh.peers)):
            await self._pause()

    # --- peers --------------------------------------------------------------------------------------------------------

    def held(self) -> Have:
        """What is here of the artifact."""
        return Have(self._artifact.sha256, sum(1 << index for index in self._parts.held))

    def claims(self) -> list[Claim]:
        """What is being fetched over the WAN now."""
        return [self._claim(index) for index in self._loads]

    def read(self, index: int) -> bytes | None:
        """A chunk, for a peer."""
        return self._parts.read(index) if index in self._parts.held else None

    def heard(self, peer: str, message: Message) -> None:
        """A peer said something about the artifact."""
        match message:
            case Want():
                self._plan.wants(peer, wanted=True)
            case Done():
                self._plan.wants(peer, wanted=False)
            case Have():
                self._plan.has(peer, message)
            case Gained(_, index):
                self._plan.gained(peer, index)
            case Claim(_, index, size):
                if self._plan.claimed(peer, index, size, self._now()) and (task := self._loads.get(index)):
                    task.cancel()
            case Unclaim(_, index):
                self._plan.unclaimed(peer, index)
            case Lack(_, index):
                self._plan.lacked(peer, index)
        self._changed.set()

    def received(self, peer: str, index: int, data: bytes) -> None:
        """A peer sent a chunk."""
        asked = self._plan.answered(peer, index)
        if asked and not self._plan.is_missing(index):
            return
        before = self._parts.tail(index) if asked else 0
        if asked and self._put(index, data):
            if index in self._parts.held:
                self._arrived(index)
            self._progress(len(data) - before)
            if task := self._loads.get(index):
                task.cancel()
        else:
            self._plan.struck(peer)
            self._distrust(peer)
        self._changed.set()

    def _put(self, index: int, data: bytes) -> bool:
        """Keep a chunk; a full disk is no fault of the peer and ends the download."""
        try:
            return self._parts.put(index, data)
        except OSError as error:
            self._fault = error
            return True

    def left(self, peer: str) -> None:
        """A peer is gone."""
        self._plan.left(peer)
        self._changed.set()

    def _distrust(self, peer: str) -> None:
        """Tell a peer that it got a strike; the last one puts it out."""
        self._mesh.ask(peer, Distrust(self._artifact.sha256))
        if self._plan.is_out(peer):
            self._mesh.expel(peer)

    def _ask(self) -> None:
        # Where this process itself gets no time, answers wait unread: a stretch without a look counts as a short one.
        now = self._now()
        self._patience += min(now - self._looked, 2 * _TICK_S)
        self._looked = now
        for peer in self._plan.overdue(self._patience):
            self._distrust(peer)
        for peer in self._plan.peers:
            for index in self._plan.to_ask(peer, is_cut_off=self._is_cut_off):
                self._plan.asked(peer, index, self._patience)
                self._mesh.ask(peer, Get(self._artifact.sha256, index))

    def _arrived(self, index: int) -> None:
        self._last_byte = self._now()
        self._failure = None
        self._plan.arrived(index)
        self._mesh.tell(self._artifact.sha256, Gained(self._artifact.sha256, index))

    # --- the WAN --------------------------------------------------------------------------------------------------------

    async def _load_on(self) -> None:
        while True:
            index = self._plan.to_load(self._now(), gives=self._mesh.gives)
            if index is None:
                await self._pause()
                continue
            self._plan.loading(index, self._now())
            if not self._is_cut_off:  # else not before a byte comes: a claim keeps others from taking over
                self._mesh.tell(self._artifact.sha256, self._claim(index))
            task = self._loads[index] = asyncio.create_task(self._load(index))
            try:
                await asyncio.wait([task])
                failure = None if task.cancelled() else task.exception()
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError, EdgeError):
                    await task
                del self._loads[index]
                whole = index in self._parts.held
                self._plan.loaded(index, self._now(), whole=whole)
                if not whole:
                    self._mesh.tell(self._artifact.sha256, Unclaim(self._artifact.sha256, index))
            if isinstance(failure, EdgeError):
                await self._failed(failure)
            elif failure is not None:
                raise failure

    async def _failed(self, failure: EdgeError) -> None:
        """Note a failure once there is no hope of the line coming back by itself, or of peers bringing what this node may
        not fetch.
        """
        out = all(strikes >= _STRIKES for strikes in self._strikes)
        may_pass = isinstance(failure, UnreachableError) or (isinstance(failure, LimitError) and bool(self._mesh.peers))
        if out or not may_pass or self._now() - self._last_byte > _OUTAGE_S:
            self._failure = failure
        self._is_cut_off = True
        self._changed.set()
        await self._sleep(_PAUSE_S)

    async def _load(self, index: int) -> None:
        """Fetch one chunk from the first source that delivers; two wrong deliveries put a source out."""
        failure: EdgeError = UnreachableError("edge.no_source", artifact=self._artifact.sha256[:12])
        is_mixed = self._parts.tail(index) > 0
        for number, source in enumerate(self._sources):
            if self._strikes[number] >= _STRIKES:
                continue
            try:
                await self._stream(source, index)
            except SourceError as error:
                failure = error
                is_mixed = is_mixed or self._parts.tail(index) > 0
                if isinstance(error, RangelessError):
                    self._strikes[number] = _STRIKES
                continue
            size = self._parts.tail(index)
            if self._parts.check(index):
                self._arrived(index)
                return
            self._progress(-size)
            if not is_mixed:  # else the wrong bytes may be of another source, or of an earlier time
                self._strikes[number] += 1
            is_mixed = False
            failure = DamagedBytesError("artifact.mismatch", artifact=self._artifact.sha256[:12])
        raise failure

    async def _stream(self, source: Source, index: int) -> None:
        start, stop = span(index, self._artifact.size_bytes)
        done = self._parts.tail(index)
        told = self._now()
        async with aclosing(source.read(self._artifact, start + done, stop)) as stream:
            async for data in stream:
                kept = data[: stop - start - done]
                self._parts.append(index, kept)
                done += len(kept)
                self._progress(len(kept))
                self._last_byte = self._now()
                if self._is_cut_off or self._last_byte - told >= _CLAIM_EVERY_S:
                    self._is_cut_off = False
                    told = self._last_byte
                    self._mesh.tell(self._artifact.sha256, self._claim(index))
                if done == stop - start:
                    return
        if done < stop - start:
            raise UnreachableError("edge.broken_off", artifact=self._artifact.sha256[:12])

    def _claim(self, index: int) -> Claim:
        return Claim(self._artifact.sha256, index, self._parts.tail(index))

    async def _pause(self) -> None:
        """Wait until something has changed, or for a moment: time changes decisions too."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await self._changed.wait()
