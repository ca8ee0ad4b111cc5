"""One child process, from its start to its end. Every wait has an end: a child that is silent for too long is killed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

from edge_node.worker.frames import BrokenFrameError, Frame, read_frame, write_frame

_GRACE_S = 2.0
_POLL_S = 0.1
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}  # on many cores its threads alone would take up the address space


@dataclass(frozen=True)
class Death:
    """How a child came to its end.

    Attributes:
        cause: it crashed or was killed, was silent for too long, ran out of memory, or talked nonsense.
        detail: the signal, the exit code or the exception, for people.
    """

    cause: Literal["crashed", "timed_out", "memory", "nonsense"]
    detail: str


class DiedError(Exception):
    """The child is gone, and what it was asked stays without an answer."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.detail)
        self.death = death


class ChildProcess:
    """A running child. Use from one thread at a time; ``end`` may be called from any."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            OSError: the system does not start it.
        """
        errors = None if os.environ.get("MEDMESH_DEBUG") else subprocess.DEVNULL  # libraries' chatter names files
        environment = {**os.environ, **_ENVIRONMENT}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        self._arrived: queue.Queue[Frame | None] = queue.Queue(maxsize=4)
        self._ended = threading.Event()
        self._is_broken = False
        self._reader = threading.Thread(target=self._receive, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked something."""
        return self._process.poll() is None

    def _receive(self, stream: IO[bytes]) -> None:
        try:
            while (frame := read_frame(stream)) is not None:
                self._deliver(frame)
        except BrokenFrameError:
            self._is_broken = self._process.poll() is None
        self._deliver(None)

    def _deliver(self, frame: Frame | None) -> None:
        """Queue a message, however long nobody wants it; a child that floods us waits, until it is ended."""
        while not self._ended.is_set():
            try:
                self._arrived.put(frame, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    def send(self, frame: Frame, timeout_s: float) -> None:
        """Ask something.

        Raises:
            DiedError: it does not take it.
        """
        stream = self._process.stdin
        assert stream is not None
        killer = threading.Timer(timeout_s, self._process.kill)
        killer.start()
        try:
            write_frame(stream, frame)
        except (OSError, ValueError) as error:  # ValueError: closed by ``end`` meanwhile
            raise DiedError(self._autopsy()) from error
        finally:
            killer.cancel()

    def receive(self, timeout_s: float) -> Frame:
        """The next message.

        Raises:
            DiedError: there will be none, or it took too long.
        """
        try:
            frame = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            raise DiedError(Death("timed_out", f"{timeout_s:g} s")) from None
        if frame is None:
            raise DiedError(self._autopsy())
        return frame

    def _autopsy(self) -> Death:
        if self._is_broken:
            return Death("nonsense", "malformed message")
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return Death("nonsense", "closed its pipe")
        try:
            return Death("crashed", signal.Signals(-code).name if code < 0 else f"exit code {code}")
        except ValueError:
            return Death("crashed", f"signal {-code}")

    def end(self, grace_s: float = 0.0) -> None:
        """Close the pipe, wait that long for the child to leave, kill it if it does not, and clear it away."""
        process = self._process
        if process.stdin is not None:
            with suppress(OSError):  # what was not sent yet finds no reader
                process.stdin.close()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._ended.set()
        self._reader.join()
        if process.stdout is not None:
            process.stdout.close()
        with suppress(queue.Empty):
            while True:
                self._arrived.get_nowait()
        self._arrived.put(None)  # for a request that still waits
