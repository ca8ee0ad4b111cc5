"""A run's state after each round, in one file that is old or new and never half."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.store.blobs import write_atomically
from protocols.federation.head import Head


@dataclass
class SiteRecord:
    """What is known of a site in this run.

    Attributes:
        labels: that it tells apart.
        counts: coarse, in the order of ``labels``.
        score: the last balanced accuracy that it stated for a shared head.
        rounds: in which its reply was used.
        dropped: [round, code] of each reply that was not.
        bytes_up, bytes_down: of messages, before TLS.
    """

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    score: float | None = None
    rounds: int = 0
    dropped: list[tuple[int, str]] = field(default_factory=list)
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass
class State:
    """A run between two rounds.

    Attributes:
        round: how many are done.
        failed: how many in a row ended without a quorum.
        head: the shared head.
        anchor: the head that the run started from.
        memory: of the strategy.
        sites: by name.
        history: one entry a round.
        declined: site -> why it does not take part, as a code of ours.
        left_out: site -> its labels that nobody else has.
    """

    round: int
    failed: int
    head: Head
    anchor: Head
    labels: tuple[str, ...]
    memory: dict[str, NDArray[Any]] = field(default_factory=dict)
    sites: dict[str, SiteRecord] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    declined: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


class Checkpoints:
    """One file for a run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, state: State) -> None:
        """Keep a state in place of the last one."""
        document = {
            "round": state.round,
            "failed": state.failed,
            "labels": state.labels,
            "sites": {name: asdict(record) for name, record in state.sites.items()},
            "history": state.history,
            "declined": state.declined,
            "left_out": state.left_out,
        }
        buffer = io.BytesIO()
        heads = {"head": state.head, "anchor": state.anchor}
        arrays: dict[str, Any] = {f"{n}.{k}": value for n, h in heads.items() for k, value in h.arrays().items()}
        arrays |= {f"memory.{key}": value for key, value in state.memory.items()}
        np.savez(buffer, document=np.frombuffer(json.dumps(document).encode(), np.uint8), **arrays)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, buffer.getvalue())

    def load(self) -> State | None:
        """The last state; None before the first round, or where the file was damaged from outside."""
        try:
            with np.load(io.BytesIO(self._path.read_bytes()), allow_pickle=False) as found:
                document = json.loads(found["document"].tobytes())
                head, anchor = (head_in(found, n) for n in ("head", "anchor"))
                memory = {k.removeprefix("memory."): found[k] for k in found.files if k.startswith("memory.")}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        sites = {
            name: SiteRecord(**{**record, "labels": tuple(record["labels"]), "counts": tuple(record["counts"])})
            for name, record in document["sites"].items()
        }
        for record in sites.values():
            record.dropped = [(int(number), str(code)) for number, code in record.dropped]
        return State(
            document["round"],
            document["failed"],
            head,
            anchor,
            tuple(document["labels"]),
            memory,
            sites,
            document["history"],
            document["declined"],
            document["left_out"],
        )


def head_in(found: Mapping[str, NDArray[Any]], name: str) -> Head:
    """The head whose arrays are kept as ``name.array``.

    Raises:
        KeyError: there is none.
    """
    start = f"{name}."
    return Head.of_arrays({key.removeprefix(start): found[key] for key in found if key.startswith(start)})
