from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.edge_node.support.node import running
from tests.edge_node.support.releases import Simulator, make_release


class SilentOrigin:
    """Answers the first bytes and then never again."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.ended = False

    async def published(self, path: str) -> AsyncGenerator[bytes, None]:
        try:
            yield b"{"
            self.asked.set()
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_a_cancelled_refresh_ends_at_once_and_leaves_no_thread_behind(tmp_path: Path) -> None:
    async with running(Simulator([make_release()]), tmp_path) as node:
        silent = SilentOrigin()
        node.feed._origins = [silent]
        task = asyncio.create_task(node.feed.refresh())
        await asyncio.wait_for(silent.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert silent.ended
        node.feed._origins = [node.origin]
        assert (await node.feed.refresh()).failure is None  # the lock is free again
