"""Trying again for a while: a line that flaps is up again in a moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from edge_node.errors import UnreachableError

T = TypeVar("T")
_FIRST_S, _MOST_S = 0.5, 4.0


def pauses_s(most_s: float) -> Iterator[float]:
    """Pauses between attempts, doubling, ``most_s`` in all."""
    pause_s, left_s = _FIRST_S, most_s
    while left_s > 0:
        yield min(pause_s, left_s)
        left_s -= pause_s
        pause_s = min(2 * pause_s, _MOST_S)


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    most_s: float,
    sleep: Callable[[float], Awaitable[None]],
    waiting: Callable[[UnreachableError, float], None] = lambda _, __: None,
) -> T:
    """What ``attempt`` returns, once somebody answers.

    Args:
        attempt: called again after each ``UnreachableError``; every other failure is final.
        most_s: the longest time spent in pauses, seconds.
        sleep: passes the time.
        waiting: told the failure before each pause, and how long that is.

    Raises:
        UnreachableError: that of the last attempt.
    """
    for pause_s in pauses_s(most_s):
        try:
            return await attempt()
        except UnreachableError as error:
            waiting(error, pause_s)
        await sleep(pause_s)
    return await attempt()
