"""What is sent: a file as it is, or a folder as a zip that comes out the same each time, and is never kept anywhere."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import CoordinatorError
from coordinator.intake.source import is_ignored

_BLOCK = 1024 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)  # files' dates tell nothing about images, and would make another zip of the same ones
_ZIP64_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Packed:
    """Something to send, read once to know its size and digest."""

    path: Path
    size: int
    sha256: str

    def parts(self, part_bytes: int, wanted: Callable[[int], bool]) -> Iterator[tuple[int, bytes]]:
        """The wanted parts with their numbers, in order. At most one part is in memory.

        Raises:
            CoordinatorError: ``upload.changed``, at the end.
        """
        digest, size, number, part = hashlib.sha256(), 0, 0, bytearray()
        for block in stream(self.path):
            digest.update(block)
            size += len(block)
            part += block
            while len(part) >= part_bytes:
                if wanted(number):
                    yield number, bytes(part[:part_bytes])
                del part[:part_bytes]
                number += 1
        if digest.hexdigest() != self.sha256 or size != self.size:
            raise CoordinatorError("upload.changed", path=self.path)
        if part and wanted(number):
            yield number, bytes(part)


def pack(path: Path, progress: Callable[[int, int], None]) -> Packed:
    """Read all of a file or folder once; ``progress`` is told the bytes so far, and about how many there are.

    Raises:
        CoordinatorError: ``file.not_found``, ``upload.empty`` or ``intake.zip.bad_entry``.
    """
    digest, size = hashlib.sha256(), 0
    total = sum(file.stat().st_size for _, file in _files(path)) if path.is_dir() else _file_size(path)
    for block in stream(path):
        digest.update(block)
        size += len(block)
        progress(min(size, total), total)
    if not size:
        raise CoordinatorError("upload.empty", path=path)
    return Packed(path, size, digest.hexdigest())


def stream(path: Path) -> Iterator[bytes]:
    """The bytes to send, in blocks."""
    if path.is_dir():
        yield from _zipped(path)
        return
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _file_size(path: Path) -> int:
    if not path.exists():
        raise CoordinatorError("file.not_found", path=path)
    if not path.is_file():  # a pipe or device, which cannot be read twice
        raise CoordinatorError("file.wrong_kind", path=path)
    return path.stat().st_size


class _Sink(io.RawIOBase):
    """Takes what the archive writes and cannot seek, so that sizes and checksums follow each member."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        before = len(self._pending)
        self._pending += bytes(data)  # type: ignore[call-overload]  # any buffer
        return len(self._pending) - before

    def take(self) -> bytes:
        data = bytes(self._pending)
        self._pending.clear()
        return data


def _zipped(folder: Path) -> Iterator[bytes]:
    """A zip of a folder: the same files give the same bytes. Images are stored as they are; they hardly compress."""
    sink = _Sink()
    files = _files(folder)
    if not files:
        raise CoordinatorError("upload.empty", path=folder)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = 3, 0o600 << 16
            large = path.stat().st_size >= _ZIP64_BYTES
            with path.open("rb") as file, archive.open(info, "w", force_zip64=large) as member:
                while block := file.read(_BLOCK):
                    member.write(block)
                    yield sink.take()
    yield sink.take()


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for path in folder.rglob("*"):
        name = _text(path.relative_to(folder))
        if path.is_symlink():
            shown = name.encode("unicode_escape").decode()[:120]
            raise CoordinatorError("intake.zip.bad_entry", path=folder, entry=shown, why="symbolic link")
        if path.is_file() and not is_ignored(name):
            found.append((name, path))
    return sorted(found)


def _text(path: Path) -> str:
    """A name as its author meant it: UTF-8 where it fits, else GB18030."""
    raw = os.fsencode(path.as_posix())
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030", errors="replace")
