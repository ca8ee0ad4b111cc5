"""The same run as a Flower ServerApp for a stock SuperLink: start and result stand in files that the run's settings name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from coordinator.federation.refinement import refine
from coordinator.federation.rounds import Plan
from coordinator.store.blobs import write_atomically
from protocols.artifacts import canonical_json
from protocols.federation import flower
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject

RESULT, REPORT = "result.npz", "report.json"
app = ServerApp()


@dataclass(frozen=True)
class StartFile:
    """What is refined, in one NumPy file."""

    subject: Subject
    labels: tuple[str, ...]
    head: Head
    standard: Standard

    def save(self, path: Path) -> None:
        """Write the file."""
        np.savez(
            path,
            subject=np.array([self.subject.disease, self.subject.trunk, *self.subject.taps]),
            labels=np.array(self.labels),
            weights=self.head.weights,
            bias=self.head.bias,
            mean=self.standard.mean,
            scale=self.standard.scale,
        )

    @classmethod
    def load(cls, path: Path) -> StartFile:
        """Read the file."""
        with np.load(path, allow_pickle=False) as found:
            disease, trunk, *taps = (str(x) for x in found["subject"])
            return cls(
                Subject(disease, trunk, tuple(taps)),
                tuple(str(x) for x in found["labels"]),
                Head(found["weights"], found["bias"]),
                Standard(found["mean"], found["scale"]),
            )


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Refine ``start`` over ``rounds`` rounds; leaves the head and the report in ``folder``."""
    flower.hush()
    settings = context.run_config
    start = StartFile.load(Path(str(settings["start"])))
    folder = Path(str(settings["folder"]))
    plan = Plan(
        start.subject,
        start.labels,
        start.standard,
        int(settings["rounds"]),
        deadline_s=float(settings.get("deadline-s", 60.0)),
        wait_s=float(settings.get("wait-s", 60.0)),
    )
    state, verdict = refine(grid, plan, start.head, folder, lambda node: f"node {node}")
    np.savez(folder / RESULT, weights=state.head.weights, bias=state.head.bias)
    report = {"round": state.round, "sites": len(state.sites), "verdict": verdict.document()}
    write_atomically(folder / REPORT, canonical_json(report))
