"""Where an import works until its images are part of a data set, and what keeps two imports apart. Blocking."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.blobs import FolderBlobs, write_atomically

_PREFIX, _LOCK, _SALT = "import-", ".lock", "patient-salt"
_ABANDONED_S = 24 * 3600


class Spool:
    """A folder for what one import unpacks and keeps for now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unpacked = folder / "unpacked"
        self.kept = FolderBlobs(folder / "kept")
        self.originals = FolderBlobs(folder / "originals")


@contextmanager
def open_spool(home: Home, name: str, source: Path, key: dict[str, Any]) -> Iterator[Spool]:
    """The spool of an import; nothing of it outlives the import, unless that was killed: then the same import goes on in it.

    Args:
        home: of the coordinator.
        name: of the data set, for messages.
        source: what is imported.
        key: everything else that the checks depend on, but for the files' contents.

    Raises:
        CoordinatorError: ``intake.running``.
    """
    home.base.mkdir(parents=True, exist_ok=True)
    document = json.dumps([name, os.fsdecode(source.resolve()), key], sort_keys=True)
    folder = home.base / f"{_PREFIX}{hashlib.sha256(document.encode()).hexdigest()[:24]}"
    with _holding(folder, name):
        try:
            _remove_abandoned(home, folder)
            spool = Spool(folder)
            shutil.rmtree(spool.unpacked, ignore_errors=True)
            spool.unpacked.mkdir()
            yield spool
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _holding(folder: Path, name: str) -> Iterator[None]:
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError), (folder / _LOCK).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CoordinatorError("intake.running", name=name) from error
            # The one who held it before may have removed the folder between our two steps.
            if _is_at(lock, folder / _LOCK):
                yield
                return


def _is_at(file: IO[bytes], path: Path) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


def _remove_abandoned(home: Home, own: Path) -> None:
    """Remove what imports left that were killed a day ago and did not go on."""
    for left in home.base.glob(f"{_PREFIX}*"):
        if left == own or time.time() - left.stat().st_mtime < _ABANDONED_S:
            continue
        try:
            with (left / _LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue


@asynccontextmanager
async def holding_images(home: Home) -> AsyncIterator[None]:
    """Keep all others from moving images in or sweeping them out, between processes too."""
    home.base.mkdir(parents=True, exist_ok=True)
    with (home.base / ".images.lock").open("ab") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield


def patient_salt(home: Home) -> bytes:
    """The site's secret for what stands for a patient, made on first use. Call it with the images held."""
    path = home.keys / _SALT
    if not path.exists():
        home.keys.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, secrets.token_bytes(32), 0o600)
    return path.read_bytes()


def move(sha256: str, source: FolderBlobs, target: FolderBlobs) -> None:
    """Bring one file into the store; both are on one file system."""
    if not target.has(sha256):
        target.path(sha256).parent.mkdir(parents=True, exist_ok=True)
        source.path(sha256).replace(target.path(sha256))


def stored(folder: Path) -> set[str]:
    """Digests of all files in a folder of blobs."""
    return {path.name for path in folder.glob("??/" + "?" * 64)}


def fsync_folders(folder: Path) -> None:
    """Make the names of moved files last, as their contents do."""
    for path in [folder, *folder.glob("??")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
