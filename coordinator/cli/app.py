"""All commands of ``medmesh-coordinator``."""

from __future__ import annotations

import typer

from coordinator.cli import (
    audit,
    datasets,
    federation,
    fleet,
    jobs,
    keys,
    nodes,
    recalibration,
    releases,
    results,
    setup,
    tokens,
    training,
    upstream,
    users,
)

app = typer.Typer(
    no_args_is_help=True, help="MedMesh coordinator · 协调器. Research use only.", pretty_exceptions_enable=False
)
for part in (
    setup,
    datasets,
    training,
    recalibration,
    federation,
    releases,
    keys,
    nodes,
    fleet,
    results,
    tokens,
    users,
    jobs,
    upstream,
    audit,
):
    part.register(app)
