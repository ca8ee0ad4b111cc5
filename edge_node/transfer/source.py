"""What an artifact's bytes come from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from protocols.artifacts import Artifact

Progress = Callable[[int], None]


class Source(Protocol):
    """Something that may hold artifacts: the coordinator or a mirror."""

    def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the artifact's bytes from ``start`` to ``stop`` (exclusive; None: the end), as they come; they are not to
        be believed.

        Raises:
            SourceError: unreachable, broken off, or without this artifact.
        """
        ...
