"""What a stranger's file can do to the process that decodes it; importable, so that workers can run it."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

from coordinator.engine.ending import end_with_stdin


def behave(item: str) -> str:
    match item:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
        case "hang":
            time.sleep(60)
        case "eat":
            try:
                return f"got {len(bytearray(400_000_000))}"
            except MemoryError:
                return "no memory"
        case "raise":
            raise KeyError(item)
    return item.upper()


def lost(item: str) -> str:
    return f"lost {item}"


def slow_pid(seconds: float) -> int:
    """Work for some time; says which process did."""
    time.sleep(seconds)
    return os.getpid()


def hold(mark: str) -> None:
    """Say so in a file, then compute for ever without letting go of Python's lock."""
    Path(mark).touch()
    re.match("(a|aa)+$", "a" * 100 + "b")


if __name__ == "__main__":
    end_with_stdin()
    hold(sys.argv[1])
