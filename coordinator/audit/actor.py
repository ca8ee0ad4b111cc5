"""Who acts. The command line, the web and background work set it; services read it when they record an act."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal


@dataclass(frozen=True)
class Actor:
    """A person, a token's owner, a node, or the program itself.

    Attributes:
        kind: ``local`` is whoever has a shell on the coordinator.
        name: account, user, owner of the token or node id.
    """

    kind: Literal["local", "user", "token", "node", "system"]
    name: str


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # an account without a name
        return ""


current: ContextVar[Actor] = ContextVar("medmesh_actor", default=Actor("local", _account()))  # noqa: B039  # frozen


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Whatever is done in the block is done by ``actor``."""
    token = current.set(actor)
    try:
        yield
    finally:
        current.reset(token)


def moment() -> datetime:
    """When an act happens whose service is given no time: the coordinator's own clock."""
    return datetime.now(UTC)
