"""``medmesh-edge`` as a peer that corrupts or is silent: ``python -m … corrupting|silent COMMAND``."""

from __future__ import annotations

import sys

from edge_node.cli import main
from edge_node.peers import starting
from tests.edge_node.support.mesh import Corrupting, Silent

if __name__ == "__main__":
    starting.Hub = {"corrupting": Corrupting, "silent": Silent}[sys.argv.pop(1)]  # type: ignore[attr-defined]
    main()
