"""``medmesh-edge``."""

from __future__ import annotations

from protocols.starting import without_collections

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    with without_collections():
        from edge_node.cli.app import app
        from protocols.console import run

    run(app)
