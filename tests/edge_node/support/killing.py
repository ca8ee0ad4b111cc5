"""``medmesh-edge`` that kills itself, as by ``kill -9``, when it reaches a named point: ``POINT -- ARGUMENTS``.

A point is ``before`` or ``after`` a method of the node that changes what is on the disk.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any, NoReturn

METHODS = {
    "rollout-read": ("edge_node.trust.repository", "SignedRepository", "evidence"),
    "record": ("edge_node.cache.store", "CacheStore", "set_trust"),
    "manifest": ("edge_node.trust.repository", "SignedRepository", "release"),
    "list": ("edge_node.cache.store", "CacheStore", "set_listed"),
    "bytes": ("edge_node.transfer.partial", "PartialFile", "append"),
    "checked": ("edge_node.transfer.partial", "PartialFile", "finish"),
    "shelf": ("edge_node.cache.artifacts", "ArtifactCache", "accept"),
    "switch": ("edge_node.cache.store", "CacheStore", "activate"),
    "replica": ("edge_node.knowledge.replica", "ReplicaUpdater", "update"),
    "sweep": ("edge_node.cache.artifacts", "ArtifactCache", "sweep"),
}
OUTBOX_METHODS = {
    "key": ("edge_node.outbox.store", "OutboxStore", "set_notes"),
    "saved": ("edge_node.outbox.store", "OutboxStore", "add"),
    "word": ("edge_node.outbox.store", "OutboxStore", "add_confirmation"),
    "sent": ("edge_node.agent.gateway", "Session", "deliver"),
    "acknowledged": ("edge_node.outbox.store", "OutboxStore", "acknowledge"),
    "expired": ("edge_node.outbox.store", "OutboxStore", "expire"),
}
POINTS = [f"{when} {what}" for what in METHODS for when in ("before", "after")]


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def arm(point: str) -> None:
    """Put the trap at ``point``."""
    when, what = point.split(" ")
    module, owner, method = (METHODS | OUTBOX_METHODS)[what]
    kind = getattr(importlib.import_module(module), owner)
    original = getattr(kind, method)

    def trapped(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            _die()
        result = original(*arguments, **options)
        if not hasattr(result, "__await__"):
            _die()

        async def finished() -> None:
            await result
            _die()

        return finished()

    setattr(kind, method, trapped)


if __name__ == "__main__":
    from edge_node.cli.app import app
    from protocols.console import run

    arm(sys.argv[1])
    run(app, sys.argv[3:])
