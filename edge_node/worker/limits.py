"""What the child may take, enforced by the system where it can: POSIX; macOS ignores the limit of memory."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

_MB = 1 << 20
_CPU_MARGIN_S = 5

if sys.platform == "win32":

    def limit_memory(megabytes: int) -> None:
        """Windows has no such limit for a process that limits itself."""

    def limit_cpu(seconds: float) -> None:
        """Likewise."""
else:
    import resource

    def limit_memory(megabytes: int) -> None:
        """Bound the address space, and write no core dump, which would hold the picture."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):  # a lower limit of the system stays
            resource.setrlimit(resource.RLIMIT_AS, (megabytes * _MB, megabytes * _MB))

    def limit_cpu(seconds: float) -> None:
        """Let the process compute for so much longer, so that it ends even if nobody is left to end it."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + seconds) + _CPU_MARGIN_S
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def be_the_first_to_go() -> None:
    """Where memory runs out for all, Linux is to end this process and not the program that can start it anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", "ascii")


def ignore_requests_to_stop() -> None:
    """Ctrl-C and a service manager's stop reach the whole group; this process ends when its parent closes the pipe.

    Ended by such a signal in the middle of a picture, the model that runs would be blamed.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
