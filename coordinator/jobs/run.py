"""``python -m coordinator.jobs.run HOME JOB RUNNER``: the process that does one job for ``serve``.

It tells its progress in JSON lines on stdout and records the result itself. It ends at once when ``serve`` does: whoever
starts next runs the job again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from coordinator.audit.actor import acting
from coordinator.bootstrap import model_importer, open_coordinator, utc_now
from coordinator.errors import CoordinatorError
from coordinator.jobs import work
from coordinator.jobs.queue import Queue, Request, failure
from coordinator.training.spatial.curves import Point, listener
from protocols.console import from_os_error
from protocols.errors import MedMeshError

_NICE = 5  # the server goes first
_PROGRESS_S = 0.5


def main() -> None:
    """Entry point."""
    home, job, runner = sys.argv[1:]
    os.nice(_NICE)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is not ours to read
    asyncio.run(_run(Path(home), job, runner, told))


def _end_with_the_server() -> None:
    """The server holds the other end of stdin; when it is gone, whatever way, so are we and our workers."""
    os.read(0, 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


async def _run(home: Path, job: str, runner: str, told: TextIO) -> None:
    last = 0.0

    def progress(part: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_S or done == total:
            last = time.monotonic()
            told.write(json.dumps([part, done, total]) + "\n")
            told.flush()

    def plot(point: Point) -> None:
        told.write(json.dumps(asdict(point)) + "\n")
        told.flush()

    async with open_coordinator(home) as coordinator:
        queue: Queue = coordinator.jobs
        held = await queue.held(job, runner)
        if held is None:
            return
        listener.set(plot)
        try:
            with acting(held.asked_by):
                result = await work.run(coordinator, held, model_importer(), utc_now(), progress)
                await queue.finish(job, runner, result, _then(held.request), utc_now())
        except MedMeshError as error:
            await queue.fail(job, runner, failure(private(error, home)), utc_now())
        except OSError as error:
            await queue.fail(job, runner, failure(private(from_os_error(error), home)), utc_now())
        except Exception as error:
            await queue.fail(job, runner, failure(CoordinatorError("defect", fault=type(error).__name__)), utc_now())


def private(error: MedMeshError, home: Path) -> MedMeshError:
    """The same error without our folders: it goes to whoever sent the upload."""
    error.details = {
        key: Path(str(value)).name if str(value).startswith(str(home)) else value
        for key, value in error.details.items()
    }
    return error


def _then(request: Request) -> Request | None:
    """The training that an import asked for."""
    if request.kind != "import" or not request.options.get("train"):
        return None
    return Request("train", request.subject, request.owner, request.scopes, {"effort": request.options["train"]})


if __name__ == "__main__":
    main()
