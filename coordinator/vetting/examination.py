"""One brought file, from quarantine to a stage that was tried. Blocking; run it in a thread. Stores nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.vetting import allowlist, network, rooms, standard
from coordinator.vetting.allowlist import Limits
from coordinator.vetting.confine import Rights
from coordinator.vetting.description import Description
from coordinator.vetting.quarantine import Quarantined
from coordinator.vetting.sandbox import Bounds, Sandbox

Progress = Callable[[str, int, int], None]
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_MOST_LOGIT = 1e6  # beyond it a float32 softmax has no meaning


@dataclass(frozen=True)
class Allowed:
    """What each job may take. A stage gets four times what a node's worker usually has."""

    trial: Bounds = field(default_factory=lambda: Bounds(60, Rights(memory_mb=2048, cpu_s=60)))
    inspection: Bounds = field(default_factory=lambda: Bounds(60, Rights(memory_mb=2048, cpu_s=60)))
    conversion: Bounds = field(default_factory=lambda: Bounds(600, Rights(12_288, 900, file_mb=1024, threads=True)))


@dataclass(frozen=True)
class Examined:
    """A model that was let through.

    Attributes:
        stage: the standardised TFLite file.
        logits: float64 [pictures, labels] of the golden pictures.
        report: what was checked, and under which protections.
    """

    stage: bytes
    logits: NDArray[np.float64]
    report: dict[str, Any]


def kind_of(path: Path, name: str) -> str:
    """``tflite``, ``keras`` or ``h5``, by content.

    Raises:
        CoordinatorError: ``vetting.unknown_kind`` or ``vetting.saved_model``.
    """
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == network.IDENTIFIER:
        return "tflite"
    if head.startswith(_HDF5):
        return "h5"
    if head.startswith(_ZIP):
        return "keras"
    if Path(name).suffix == ".pb":
        raise CoordinatorError("vetting.saved_model")
    if Path(name).suffix == ".tflite":
        raise CoordinatorError("vetting.damaged", what="model")
    raise CoordinatorError("vetting.unknown_kind", file=name)


def examine(
    brought: Quarantined,
    name: str,
    wanted: Description,
    strip: bytes,
    limits: Limits,
    allowed: Allowed,
    progress: Progress,
) -> Examined:
    """Check a file, convert it where it is Keras', and try it.

    Raises:
        CoordinatorError: ``vetting.*``.
    """
    if wanted.sha256 is not None and wanted.sha256 != brought.sha256:
        raise CoordinatorError("vetting.digest", found=brought.sha256, wanted=wanted.sha256)
    kind = kind_of(brought.path, name)
    report: dict[str, Any] = {"kind": kind, "sha256": brought.sha256, "size": brought.size_bytes}
    with Sandbox() as sandbox:
        data = (
            brought.path.read_bytes()
            if kind == "tflite"
            else _converted(brought, kind, wanted, limits, allowed, sandbox, report, progress)
        )
        progress("checking", 0, 1)
        stage = vetted_stage(data, wanted, limits)
        progress("checking", 1, 1)
        progress("trying", 0, 2)
        room = brought.room("trial")
        logits = try_stage(stage, strip, wanted, room, allowed.trial, sandbox, report)
        progress("trying", 1, 2)
        again = try_stage(stage, strip, wanted, room, allowed.trial, sandbox, report)
        progress("trying", 2, 2)
    if not np.array_equal(logits, again):
        raise CoordinatorError("vetting.unsteady")
    return Examined(stage, logits, report)


def vetted_stage(data: bytes, wanted: Description, limits: Limits) -> bytes:
    """The standardised stage of a TFLite file that passes the allowlist; nothing is run."""
    found = network.read(data)
    allowlist.check(found, wanted, limits)
    return standard.standardised(found, wanted)


def try_stage(
    stage: bytes,
    strip: bytes,
    wanted: Description,
    room: Path,
    bounds: Bounds,
    sandbox: Sandbox,
    report: dict[str, Any],
) -> NDArray[np.float64]:
    """Logits of the golden pictures, from one process of its own."""
    for name, content in ((rooms.STAGE, stage), (rooms.STRIP, strip)):
        (room / name).unlink(missing_ok=True)
        (room / name).write_bytes(content)
        (room / name).chmod(0o444)
    arguments = {"edge_px": wanted.edge_px, "value_range": list(wanted.value_range), "labels": len(wanted.labels)}
    tried = sandbox.run("coordinator.vetting.trial:try_stage", arguments, room, bounds)
    report["sandbox"] = tried.sandbox
    return _matrix(tried.result, len(wanted.labels))


def _matrix(result: Any, labels: int) -> NDArray[np.float64]:
    """Read an answer that nobody vouches for: a list of rows of ordinary numbers."""
    match result:
        case {"logits": [*rows]} if rows and all(isinstance(r, list) and len(r) == labels for r in rows):
            numbers = [x for row in rows for x in row]
            if all(type(x) is float for x in numbers):
                if not all(abs(x) < _MOST_LOGIT for x in numbers):
                    raise CoordinatorError("vetting.not_finite", what="answers")
                return np.array(rows, dtype=np.float64)
    raise CoordinatorError("vetting.nonsense")


def _converted(
    brought: Quarantined,
    kind: str,
    wanted: Description,
    limits: Limits,
    allowed: Allowed,
    sandbox: Sandbox,
    report: dict[str, Any],
    progress: Progress,
) -> bytes:
    """A Keras file as TFLite, which is trusted no more than a brought one."""
    progress("converting", 0, 1)
    room = brought.room("keras")
    shutil.copyfile(brought.path, room / rooms.MODEL)
    if os.geteuid() == 0:
        os.chown(room / rooms.MODEL, 65534, 65534)
    (room / rooms.MODEL).chmod(0o644)
    inspected = sandbox.run(
        "coordinator.vetting.archive:inspect", {"kind": kind, "limit": limits.file_bytes}, room, allowed.inspection
    )
    arguments = {"kind": kind, "edge_px": wanted.edge_px, "value_range": list(wanted.value_range)}
    if os.geteuid() == 0:  # the converting process may be nobody, or root without capabilities
        room.chmod(0o777)
    done = sandbox.run("coordinator.vetting.conversion:convert", arguments, room, allowed.conversion)
    match inspected.result, done.result:
        case {"parameters": int(parameters)}, {"difference": float() | int() as difference}:
            report["converted"] = {"parameters": parameters, "weights": "float16", "difference": difference}
        case _:
            raise CoordinatorError("vetting.nonsense")
    report["conversion_sandbox"] = done.sandbox
    progress("converting", 1, 1)
    return _read_regular(room / rooms.CONVERTED, limits.file_bytes)


def _read_regular(path: Path, most: int) -> bytes:
    """What a job wrote: a plain file of bounded size, never a link to another."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise CoordinatorError("vetting.nonsense") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise CoordinatorError("vetting.nonsense")
        return file.read(most)
