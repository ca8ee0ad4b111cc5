"""Sources that deliver, break off, lie or are gone, in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from edge_node.errors import SourceError, UnreachableError
from protocols.artifacts import Artifact

_BLOCK = 1000


class SimulatedSource:
    """Serves what ``look_up`` gives; ``breaks_after`` bytes it breaks off, once per call."""

    def __init__(self, look_up: Callable[[str], bytes | None], breaks_after: int | None = None) -> None:
        self._look_up = look_up
        self.breaks_after = breaks_after
        self.starts: list[int] = []
        self.sent = 0

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        self.starts.append(start)
        data = self._look_up(artifact.sha256)
        if data is None:
            raise SourceError("edge.artifact_missing", artifact=artifact.sha256[:12], url="memory")
        data = data[:stop]
        end = len(data) if self.breaks_after is None else start + self.breaks_after
        for at in range(start, min(end, len(data)), _BLOCK):
            block = data[at : min(at + _BLOCK, end)]
            self.sent += len(block)
            yield block
        if end < len(data):
            raise UnreachableError("edge.broken_off", artifact=artifact.sha256[:12])


class EndlessSource:
    """Never stops sending."""

    def __init__(self) -> None:
        self.sent = 0

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        while True:
            self.sent += _BLOCK
            yield b"\0" * _BLOCK
