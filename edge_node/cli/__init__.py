"""``medmesh-edge``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    from edge_node.cli.app import app
    from protocols.console import run

    run(app)
