"""``medmesh-coordinator``: the command line of the coordinator."""

from __future__ import annotations

from protocols.starting import without_collections

__all__ = ["main"]


def main() -> None:
    """Entry point."""
    with without_collections():
        from coordinator.cli.app import app
        from protocols.console import run

    run(app)
