"""The child process: ``python -m edge_node.worker THREADS MEGABYTES SECONDS``, started by ``process``."""

from __future__ import annotations

import sys

from edge_node.worker.child import serve
from protocols.pipeline import Pipelines

if __name__ == "__main__":
    serve(Pipelines, sys.argv[1:])
