"""Where a brought file lies while it is vetted: under a name of our own, readable by nobody else, and gone afterwards.

Nothing is kept, whatever comes of it: the bringer has the file, the report its digest, and a store of hostile files would serve
nobody but who gets at it. What a killed process left behind is cleared away by the next import.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import CoordinatorError

_BLOCK = 1 << 20
_LOCK, _FILE = "lock", "brought"


@dataclass(frozen=True)
class Quarantined:
    """A copy of the file, and what is known of it without opening it."""

    folder: Path
    path: Path
    sha256: str
    size_bytes: int

    def room(self, name: str) -> Path:
        """An empty folder for one job of the sandbox, which may come to belong to nobody."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
            folder.chmod(0o755)  # for root without its capabilities; what is above is private
        return folder


@contextmanager
def quarantined(root: Path, file: Path, most_bytes: int) -> Iterator[Quarantined]:
    """Copy a file into a folder of its own, which goes when the block ends.

    Raises:
        CoordinatorError: ``file.not_found``, ``file.wrong_kind``, ``vetting.saved_model`` or ``vetting.too_large``.
    """
    if file.is_dir():
        raise CoordinatorError(
            "vetting.saved_model" if (file / "saved_model.pb").exists() else "file.wrong_kind", path=file
        )
    if not file.is_file():
        raise CoordinatorError("file.not_found", path=file)
    root.mkdir(mode=0o700, exist_ok=True)
    _sweep(root)
    folder = root / secrets.token_hex(16)
    folder.mkdir(mode=0o700)
    try:
        with (folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield _copy(file, folder, most_bytes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(file: Path, folder: Path, most_bytes: int) -> Quarantined:
    """Copy and hash in one pass, so that what was hashed is what is vetted, whatever happens to the original meanwhile."""
    target, digest, size = folder / _FILE, hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with file.open("rb") as source, os.fdopen(descriptor, "wb") as copy:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > most_bytes:
                found = max(size, file.stat().st_size)
                raise CoordinatorError("vetting.too_large", file=file.name, found=found, limit=most_bytes)
            digest.update(block)
            copy.write(block)
    return Quarantined(folder, target, digest.hexdigest(), size)


def _sweep(root: Path) -> None:
    """Delete what belongs to no process any more: its lock is free."""
    for folder in root.iterdir():
        with suppress(OSError):
            lock = folder / _LOCK
            if not lock.exists():  # killed before it had one; being made this moment, it is young
                if folder.stat().st_mtime < root.stat().st_mtime - 60:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
