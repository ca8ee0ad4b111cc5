"""Finished parts of a training, so that one that was stopped goes on where it was. Removed when the training is done."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.store.blobs import write_atomically

VERSION = 1  # rises when the same key would mean other parts
_KEPT_S = 14 * 86_400  # a training that nobody went on with is forgotten after two weeks
_IMAGES = "images"
_REMOVED = ".removed-"
_TRIES = 5  # of removing: a write that had found the folder before it lost its name may still land in it
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
    """A folder of parts by name. Every part is whole or not there, and may be made by two processes at once.

    Only ``begin`` makes it: once it is cleared or forgotten, whoever still computes a part of it cannot bring it back.
    """

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
        """Keep a part.

        Raises:
            CoordinatorError: ``train.removed``.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **part)  # type: ignore[arg-type]  # the stubs think of its own option
        try:
            write_atomically(self._path(name), buffer.getvalue())
        except FileNotFoundError as error:
            raise CoordinatorError("train.removed") from error

    def part(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """A part, made now if it is not there."""
        found = self.load(name)
        if found is None:
            found = make()
            self.save(name, found)
        return found

    def begin(self, digests: Iterable[str]) -> None:
        """Make the folder, and keep whose features and answers lie in it, for ``forget``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.part(_IMAGES, lambda: {"digests": np.array(sorted(digests))})

    def below(self, name: str) -> Path:
        """A folder of its own for somebody who keeps parts another way.

        Raises:
            CoordinatorError: ``train.removed``.
        """
        path = self.folder / name
        try:
            path.mkdir(exist_ok=True)
        except (FileNotFoundError, FileExistsError) as error:  # the latter where it goes while it is looked at
            raise CoordinatorError("train.removed") from error
        return path

    def clear(self) -> None:
        """Remove everything."""
        _remove(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


def forget(root: Path, images: set[str]) -> None:
    """Remove the parts of trainings on any of ``images`` (digests), and those of which nobody can tell."""
    for folder in _trainings(root):
        noted = Work(folder).load(_IMAGES)
        if noted is None or images & set(noted["digests"].tolist()):
            _remove(folder)


def sweep(root: Path, now_s: float) -> None:
    """Forget trainings that nobody has gone on with for two weeks."""
    for folder in _trainings(root):
        newest = max((p.stat().st_mtime for p in [folder, *folder.rglob("*")] if p.exists()), default=now_s)
        if now_s - newest > _KEPT_S:
            _remove(folder)


def _trainings(root: Path) -> Iterator[Path]:
    """The folders of trainings; what was left of removed ones is gone then."""
    for folder in list(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(_REMOVED):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            yield folder


def _remove(folder: Path) -> None:
    """First its name, at once, so that nobody finds it any more, then its files; what is left then, the next sweep takes."""
    with suppress(OSError):  # somebody else was quicker, or (Windows) has a file open
        folder = folder.rename(folder.with_name(_REMOVED + secrets.token_hex(8)))
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
