"""Where heavy work runs. ``Engine`` is the port; ``local`` spreads work over this machine's cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["Engine"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs one importable function over many items, in any order of completion but answered in order."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in the order of ``items``; a worker's exception is raised here."""
        ...

    def map_guarded(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        lost: Callable[[Item], Result],
        limit_bytes: int,
    ) -> Iterator[Result]:
        """``map`` for what strangers sent: an item that kills or hangs its worker, or needs more memory than
        ``limit_bytes``, is answered by ``lost``, and the others go on.
        """
        ...
