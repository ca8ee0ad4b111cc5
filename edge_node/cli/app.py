"""All commands of ``medmesh-edge``. Their modules import nothing heavy, so that each command loads only its own."""

from __future__ import annotations

from edge_node.cli import (
    acceptance,
    audit,
    bundle,
    cache,
    confirm,
    discover,
    federation,
    history,
    joining,
    knowledge,
    recognise,
    releases,
    serve,
    settings,
    ui,
)
from edge_node.cli.root import app

__all__ = [
    "acceptance",
    "app",
    "audit",
    "bundle",
    "cache",
    "confirm",
    "discover",
    "federation",
    "history",
    "joining",
    "knowledge",
    "recognise",
    "releases",
    "serve",
    "settings",
    "ui",
]
