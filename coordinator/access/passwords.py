"""Passwords: which are taken, and how they are kept."""

from __future__ import annotations

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from coordinator.errors import CoordinatorError

Result = TypeVar("Result")

# NIST SP 800-63B: length counts, composition rules do not; what everybody tries first is refused.
LEAST_CHARACTERS: Final = 10
MOST_CHARACTERS: Final = 256
_LEAST_DIFFERENT: Final = 5


@cache
def _tried_first() -> frozenset[str]:
    return frozenset(resources.files(__package__).joinpath("tried_first.txt").read_text("utf-8").split())


def normal(password: str) -> str:
    """The same characters however a keyboard composes them (SP 800-63B, section 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def check_rule(password: str, *names: str) -> None:
    """Refuse a password that would be guessed.

    Args:
        password: as the person chose it.
        names: of the person and of the coordinator: anybody who attacks knows them.

    Raises:
        CoordinatorError: ``password.short``, ``password.long`` or ``password.guessable``.
    """
    chosen = normal(password)
    if len(chosen) < LEAST_CHARACTERS:
        raise CoordinatorError("password.short", least=LEAST_CHARACTERS)
    if len(chosen) > MOST_CHARACTERS:
        raise CoordinatorError("password.long", most=MOST_CHARACTERS)
    plain = chosen.casefold()
    known = {normal(n).casefold() for n in names if n.strip()}
    bare = {k.replace(" ", "") for k in known}
    if (
        len(set(plain)) < _LEAST_DIFFERENT
        or plain in _tried_first()
        or any(plain.rstrip("0123456789!.?") in (k, k[::-1], k * 2) or plain == k for k in known | bare)
    ):
        raise CoordinatorError("password.guessable")


@dataclass(frozen=True)
class Cost:
    """What argon2id costs whoever wants to try passwords, and us (RFC 9106, section 4: the second recommended choice)."""

    passes: int = 3
    memory_kib: int = 65536
    lanes: int = 4


COST: Final = Cost()


class Hasher:
    """Makes and checks hashes away from the event loop: at most two at a time, and few waiting, so that memory is bounded."""

    AT_ONCE = 2
    WAITING = 32

    def __init__(self, cost: Cost) -> None:
        self._argon2 = PasswordHasher(cost.passes, cost.memory_kib, cost.lanes)
        self._threads = ThreadPoolExecutor(self.AT_ONCE, "argon2")
        self._room = threading.BoundedSemaphore(self.AT_ONCE + self.WAITING)

    async def hash(self, password: str) -> str:
        """What is kept of a password.

        Raises:
            CoordinatorError: ``login.busy``.
        """
        return await self._run(lambda: self._argon2.hash(normal(password)))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is this password. Without one that is kept it takes as long, and is wrong.

        Raises:
            CoordinatorError: ``login.busy``.
        """
        return await self._run(lambda: self._verify(kept, password))

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made at another cost."""
        return self._argon2.check_needs_rehash(kept)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _nobodys(self) -> str:
        return self._argon2.hash(secrets.token_hex())

    def _verify(self, kept: str | None, password: str) -> bool:
        nobodys = self._nobodys  # made at the first check of all, whoever is asked for
        try:
            return self._argon2.verify(kept or nobodys, normal(password)) and kept is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if not self._room.acquire(blocking=False):
            raise CoordinatorError("login.busy", wait_s=5)
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)
