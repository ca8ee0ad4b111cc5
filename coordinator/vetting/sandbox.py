"""Trying what nobody vouches for in processes that may do nothing but compute. Blocking; use from one thread."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coordinator.errors import CoordinatorError
from coordinator.vetting.child import MAX_ANSWER_BYTES
from coordinator.vetting.confine import Rights
from protocols.errors import table

_GRACE_S = 20.0
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
}


@dataclass(frozen=True)
class Bounds:
    """What one job may take; see ``Rights``."""

    wall_s: float
    rights: Rights


@dataclass(frozen=True)
class Tried:
    """A job's answer, parsed but not believed, and the protections that it ran under."""

    result: Any
    sandbox: dict[str, str]


class Sandbox:
    """A process that forks a confined one for each job. A context manager."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            CoordinatorError: ``vetting.no_sandbox``.
        """
        if not hasattr(os, "fork"):
            raise CoordinatorError("vetting.no_sandbox", problem="it cannot fork processes")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "coordinator.vetting.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd=Path(__file__).parent.parent.parent,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise CoordinatorError("vetting.no_sandbox", problem=error.strerror) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.kill()  # a job in it dies with it
        self._process.wait()
        self._process.stdout.close()

    def run(self, job: str, arguments: dict[str, Any], folder: Path, bounds: Bounds) -> Tried:
        """Run ``module:function`` on ``arguments``, with ``folder`` as its only place.

        Raises:
            CoordinatorError: ``vetting.crashed``, ``vetting.timed_out``, ``vetting.memory``, ``vetting.nonsense``, or what the
                job refuses with; ``vetting.no_sandbox`` where the sandbox itself is gone.
        """
        request = {
            "job": job,
            "arguments": arguments,
            "folder": str(folder),
            "wall_s": bounds.wall_s,
            "rights": asdict(bounds.rights),
        }
        end = self._ask(json.dumps(request).encode("ascii") + b"\n", bounds.wall_s + _GRACE_S)
        match end.get("end"):
            case "done":
                return _parse(end["answer"])
            case "timed_out":
                raise CoordinatorError("vetting.timed_out", seconds=f"{bounds.wall_s:g}")
            case "memory":
                raise CoordinatorError("vetting.memory", megabytes=bounds.rights.memory_mb)
            case "crashed":
                raise CoordinatorError("vetting.crashed", problem=end["problem"])
        raise CoordinatorError("vetting.nonsense")

    def _ask(self, line: bytes, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        until = time.monotonic() + timeout_s
        data = b""
        try:
            self._process.stdin.write(line)
            while not data.endswith(b"\n") and len(data) <= 8 * MAX_ANSWER_BYTES:
                ready, _, _ = select.select([self._process.stdout], [], [], max(until - time.monotonic(), 0))
                block = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
                if not block:
                    raise CoordinatorError("vetting.no_sandbox", problem="its process ended" if ready else "it hangs")
                data += block
            return dict(json.loads(data))
        except OSError as error:
            raise CoordinatorError("vetting.no_sandbox", problem=error.strerror or "its pipe broke") from error


def _parse(text: str) -> Tried:
    """Read an answer; the process that gave it may have been taken over."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CoordinatorError("vetting.nonsense") from error
    match document:
        case {"code": str(code), "details": dict(details)} if code.startswith("vetting.") and code in table():
            refusal = CoordinatorError(code, **{str(k): str(v)[:200] for k, v in details.items()})
            try:
                refusal.message(), refusal.remedy()
            except KeyError as error:
                raise CoordinatorError("vetting.nonsense") from error
            raise refusal
        case {"result": result, "sandbox": dict(sandbox)} if all(isinstance(v, str) for v in sandbox.values()):
            return Tried(result, {str(k)[:40]: v[:200] for k, v in sandbox.items()})
    raise CoordinatorError("vetting.nonsense")
