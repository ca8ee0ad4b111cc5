"""A folder with the files of releases and pictures, and models run over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_node.worker.client import WorkerLimits, WorkerModels
from protocols.manifest import ReleaseManifest
from tests.edge_node.support import faulty_worker
from tests.edge_node.support.releases import RED, make_release, png


class Shelf:
    """Releases by model name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def release(self, model: str = "malaria", version: int = 1, **changes: Any) -> ReleaseManifest:
        release = make_release("malaria", version, model=model, **changes)
        for sha256, data in release.files.items():
            self.path(sha256).write_bytes(data)
        return release.manifest

    def photo(self, name: str = "photo.png", *colours: tuple[int, int, int]) -> Path:
        path = self.folder / name
        path.write_bytes(png(*(colours or (RED,)), edge=80))
        return path


@contextmanager
def faulty(shelf: Shelf, *, command: Sequence[str] = faulty_worker.COMMAND, **limits: Any) -> Iterator[WorkerModels]:
    """A worker whose models may misbehave; its restarts wait for nothing."""
    models = WorkerModels(shelf.path, WorkerLimits(**limits), command, lambda _: 0.0)
    try:
        yield models
    finally:
        models.close()
