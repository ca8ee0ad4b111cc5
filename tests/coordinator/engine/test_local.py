"""The pool of processes: short lists reach every core."""

from __future__ import annotations

import os

from coordinator.engine.local import LocalEngine
from tests.support.dying import slow_pid


def test_a_short_list_is_dealt_to_all_workers() -> None:
    found = set(LocalEngine(2).map(slow_pid, [0.4] * 4))
    assert len(found) == 2 and os.getpid() not in found
