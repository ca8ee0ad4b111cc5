"""Finished parts of a training, so that one that was stopped goes on where it was. Removed when the training is done."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.store.blobs import write_atomically

VERSION = 1  # rises when the same key would mean other parts
_KEPT_S = 14 * 86_400  # a training that nobody went on with is forgotten after two weeks
_IMAGES = "images"
Arrays = dict[str, NDArray[Any]]


def key(images: Iterable[tuple[str, str, str]], **settings: str | int | None) -> str:
    """The folder's name: all that decides the result.

    Args:
        images: (digest, label, group) of each.
        settings: trunk, effort, budget, modality, labels.
    """
    said = json.dumps([VERSION, sorted(images), sorted(settings.items())], ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


class Work:
    """A folder of parts by name. Every part is whole or not there, and may be made by two processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, name: str) -> Arrays | None:
        """A finished part; None where it is not there, or damaged."""
        try:
            data = self._path(name).read_bytes()  # NumPy leaves a damaged file open
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                return {n: found[n] for n in found.files}
        except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, name: str, part: Arrays) -> None:
        """Keep a part."""
        buffer = io.BytesIO()
        np.savez(buffer, **part)  # type: ignore[arg-type]  # the stubs think of its own option
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(name), buffer.getvalue())

    def part(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """A part, made now if it is not there."""
        found = self.load(name)
        if found is None:
            found = make()
            self.save(name, found)
        return found

    def note_images(self, digests: Iterable[str]) -> None:
        """Keep whose features and answers lie here, for ``forget``."""
        self.part(_IMAGES, lambda: {"digests": np.array(sorted(digests))})

    def below(self, name: str) -> Path:
        """A folder of its own for somebody who keeps parts another way."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


def forget(root: Path, images: set[str]) -> None:
    """Remove the parts of trainings on any of ``images`` (digests), and those of which nobody can tell."""
    for folder in root.iterdir() if root.is_dir() else ():
        noted = Work(folder).load(_IMAGES)
        if noted is None or images & set(noted["digests"].tolist()):
            shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path, now_s: float) -> None:
    """Forget trainings that nobody has gone on with for two weeks."""
    if not root.is_dir():
        return
    for folder in root.iterdir():
        newest = max((p.stat().st_mtime for p in [folder, *folder.rglob("*")] if p.exists()), default=now_s)
        if now_s - newest > _KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
