"""Jobs that misbehave, for the sandbox's own tests; they run confined."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np


def crash(_: dict[str, Any]) -> None:
    ctypes.string_at(0)


def hang(_: dict[str, Any]) -> None:
    time.sleep(3600)


def compute(_: dict[str, Any]) -> None:
    while True:
        pass


def fill(_: dict[str, Any]) -> None:
    np.ones(6 << 27)


def fail(_: dict[str, Any]) -> None:
    raise LookupError


def babble(_: dict[str, Any]) -> str:
    return "x" * (5 << 20)


def lie(_: dict[str, Any]) -> Any:
    from coordinator.errors import CoordinatorError

    raise CoordinatorError("vetting.operator")  # without what its sentence needs


def look_around(arguments: dict[str, Any]) -> dict[str, str]:
    """What a model that took over its process could do: attempt -> the error's name, or ``done``."""

    def attempt(act: Any) -> str:
        try:
            act()
        except Exception as error:
            return type(error).__name__
        return "done"

    def connect() -> None:
        socket.create_connection(("127.0.0.1", arguments["port"]), 1).close()

    return {
        "read a key": attempt(lambda: Path(arguments["key"]).read_bytes()),
        "list its folder": attempt(lambda: list(Path(arguments["key"]).parent.iterdir())),
        "connect": attempt(connect),
        "write": attempt(lambda: Path("left").write_text("x")),
        "write elsewhere": attempt(lambda: Path("/tmp/left").write_text("x")),
        "fork": attempt(os.fork),
        "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
        "signal its parent": attempt(lambda: os.kill(os.getppid(), 0)),
        "environment": ",".join(sorted(os.environ)) or "empty",
        "own room": attempt(lambda: list(Path().iterdir())),
    }


def run_unvetted(_: dict[str, Any]) -> None:
    """What vetting spares LiteRT: the file as it came."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path="stage.tflite")
    interpreter.allocate_tensors()
    for taken in interpreter.get_input_details():
        interpreter.set_tensor(taken["index"], np.zeros(taken["shape"], taken["dtype"]))
    interpreter.invoke()
