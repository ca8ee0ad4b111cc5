"""What a model's process may end a recognition with."""

from __future__ import annotations

from typing import Any

from edge_node.errors import EdgeError
from protocols.manifest import ReleaseManifest


class ModelDiedError(EdgeError):
    """A release took its process along: put it in quarantine and use another.

    Attributes:
        manifest: the release.
        problem: the signal, exit code or exception.
    """

    def __init__(self, code: str, manifest: ReleaseManifest, *, problem: str, **details: Any) -> None:
        super().__init__(code, problem=problem, **details)
        self.manifest = manifest
        self.problem = problem


class WorkerError(EdgeError):
    """The process for models cannot be had; no model is to blame."""
