"""The sandbox's side of the pipe: ``python -m coordinator.vetting.child``. It forks one process for each job, which gives up
its rights, opens the model and answers with one JSON document; this one never opens a model and only keeps the time.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from coordinator.vetting.confine import Rights, confine
from protocols.errors import MedMeshError

MAX_ANSWER_BYTES = 4 << 20
MEMORY_EXIT = 77
Job = Callable[[dict[str, Any]], Any]


def serve() -> None:
    """Do what is asked, one request a line, until the pipe is closed."""
    import ai_edge_litert.interpreter  # noqa: F401

    import coordinator.vetting.trial  # noqa: F401 - loaded once, for all jobs

    answers = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):
        os.dup2(null, standard)
    for line in sys.stdin.buffer:
        os.write(answers, _pack(_do(json.loads(line), answers)))


def _pack(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode("ascii") + b"\n"


def _do(request: dict[str, Any], answers: int) -> dict[str, Any]:
    """Fork, wait, and say how it ended: ``{"end", "answer"}``."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        for descriptor in (0, reading, answers):
            os.close(descriptor)
        _job(request, writing)
    os.close(writing)
    until = time.monotonic() + request["wall_s"]
    data = b""
    try:
        while len(data) <= MAX_ANSWER_BYTES:
            ready, _, _ = select.select([reading, 0], [], [], max(until - time.monotonic(), 0))
            if 0 in ready:  # nobody asks in the middle: the coordinator is gone
                sys.exit()
            if not ready:
                return {"end": "timed_out"}
            block = os.read(reading, 1 << 16)
            if not block:
                break
            data += block
        else:
            return {"end": "nonsense"}
        status = _wait(pid, until)
    finally:
        os.close(reading)
        _kill(pid)
    if status is None:
        return {"end": "timed_out"}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return {"end": "timed_out"} if number == signal.SIGXCPU else {"end": "crashed", "problem": _signal(number)}
    if (code := os.WEXITSTATUS(status)) == MEMORY_EXIT:
        return {"end": "memory"}
    if code:
        problem = data[:60].decode("ascii", "replace")
        return {"end": "crashed", "problem": problem if problem.isidentifier() else f"exit code {code}"}
    return {"end": "done", "answer": data.decode("ascii", "replace")}


def _wait(pid: int, until: float) -> int | None:
    """The exit status; None where it does not end in time. It is left a zombie, so that its number stays its own."""
    while True:
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            return info.si_status if info.si_code != os.CLD_EXITED else info.si_status << 8
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def _kill(pid: int) -> None:
    """End the job with all that it started (it leads a session of its own), and clear it away."""
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _job(request: dict[str, Any], writing: int) -> None:
    """The forked process. Never returns."""
    code = 1
    try:
        module, name = request["job"].split(":")
        job: Job = getattr(importlib.import_module(module), name)  # named by our own side of the pipe
        os.chdir(request["folder"])
        protections: dict[str, str] = {}
        try:
            protections = confine(Rights(**request["rights"]))
            answer: dict[str, Any] = {"result": job(request["arguments"])}
        except MedMeshError as error:
            answer = {"code": error.code, "details": {k: _plain(v) for k, v in error.details.items()}}
        data = json.dumps(answer | {"sandbox": protections}, allow_nan=False).encode("ascii")
        while data:
            data = data[os.write(writing, data) :]
        code = 0
    except MemoryError:
        code = MEMORY_EXIT
    except BaseException as error:  # whatever a model makes Python raise
        with suppress(OSError):
            os.write(writing, type(error).__name__.encode("ascii", "replace"))
    finally:
        os._exit(code)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str) else str(value)


if __name__ == "__main__":
    serve()
