"""Unpacking a stranger's zip: everything is checked before a byte is written, and streamed under names of our own."""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from coordinator.errors import CoordinatorError
from coordinator.intake.limits import Limits

_BLOCK = 1024 * 1024
_DRIVE = re.compile(r"[A-Za-z]:")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of the others some want gigabytes to unpack a byte
_LOCAL_HEADER_BYTES = 30
_NESTED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
MAX_NAME = 1000  # characters
_END, _END64, _END64_LOCATOR, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_END_SEARCHED = 22 + 65_535  # the record and its longest comment


def is_archive(path: Path) -> bool:
    """Whether the file means to be a zip, complete or not."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", _END) or zipfile.is_zipfile(path)


def unpack(source: Path, spool: Path, limits: Limits) -> Iterator[tuple[str, Path | None]]:
    """Names of all entries as their author meant them, each with its unpacked file; folders end in ``/`` and have none.

    Raises:
        CoordinatorError: ``intake.zip.…`` naming the entry. What was unpacked is the caller's to remove.
    """
    try:
        _check_directory(source, limits)
        with zipfile.ZipFile(source) as archive:
            entries = [(entry_name(i), i) for i in archive.infolist()]
            _check_sizes(source, [i for _, i in entries], limits)
            for name, info in entries:
                _check_entry(source, info, name, limits)
            _check_apart(source, entries, archive.start_dir)
            for number, (name, info) in enumerate(entries):
                if info.is_dir():
                    yield f"{name.rstrip('/')}/", None
                    continue
                target = spool / f"{number:06d}"
                _copy(archive, info, target)
                yield name, target
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise CoordinatorError("intake.zip.damaged", path=source.name) from error


def entry_name(info: zipfile.ZipInfo) -> str:
    """An entry's name as its author meant it: flagged UTF-8, else UTF-8 where it fits, else GB18030 (Chinese Windows)."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    return decoded(info.orig_filename.encode("cp437", errors="replace")) or info.orig_filename


def decoded(raw: bytes) -> str | None:
    """A name of unknown encoding: UTF-8 where it fits, else GB18030; None where neither does."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def shown(name: str) -> str:
    """A stranger's name as it may stand in a message: no control characters, not endless."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)
    return plain[:120]


def name_fault(name: str) -> str | None:
    """What is wrong with a file's name inside a set, beyond where it points to."""
    if "\\" in name or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return "control character or backslash in the name"
    if len(name) > MAX_NAME:
        return f"a name of more than {MAX_NAME} characters"
    return None


def _check_directory(source: Path, limits: Limits) -> None:
    """Count the entries before ``zipfile`` makes an object of each: a few bytes may announce millions.

    Raises:
        CoordinatorError: ``intake.zip.too_large``.
        zipfile.BadZipFile: there is no directory.
    """
    with source.open("rb") as file:
        size = file.seek(0, 2)
        start = max(size - _END_SEARCHED, 0)
        file.seek(start)
        tail = file.read(_END_SEARCHED)
        at = tail.rfind(_END)
        if at < 0:
            raise zipfile.BadZipFile("no end record")
        (length,) = struct.unpack_from("<L", tail, at + 12)
        end = start + at
        if tail[max(at - 20, 0) : at].startswith(_END64_LOCATOR):
            file.seek(struct.unpack_from("<Q", tail, at - 12)[0])
            record = file.read(56)
            if not record.startswith(_END64):
                raise zipfile.BadZipFile("no zip64 end record")
            (length,) = struct.unpack_from("<Q", record, 40)
            end -= 20 + 56
        if length > limits.max_entries * (46 + 4 * MAX_NAME) or length > end:
            raise zipfile.BadZipFile("directory larger than the file")
        file.seek(end - length)
        _count(source, file, length, limits)


def _count(source: Path, file: IO[bytes], length: int, limits: Limits) -> None:
    entries = 0
    while length >= 46:
        header = file.read(46)
        if not header.startswith(_ENTRY):
            raise zipfile.BadZipFile("damaged directory")
        further = sum(struct.unpack_from("<3H", header, 28))
        file.seek(further, 1)
        length -= 46 + further
        entries += 1
        if entries > limits.max_entries:
            raise CoordinatorError("intake.zip.too_large", path=source.name, limit=f"{limits.max_entries} entries")


def _check_sizes(source: Path, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if sum(i.file_size for i in entries) > limits.max_total_mb * 1_000_000:
        raise CoordinatorError("intake.zip.too_large", path=source.name, limit=f"{limits.max_total_mb} MB")


def _check_entry(source: Path, info: zipfile.ZipInfo, name: str, limits: Limits) -> None:
    if name.startswith(("/", "\\")) or _DRIVE.match(name) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise CoordinatorError("intake.zip.path_traversal", path=source.name, entry=shown(name))

    def refuse(why: str) -> None:
        raise CoordinatorError("intake.zip.bad_entry", path=source.name, entry=shown(name), why=why)

    if fault := name_fault(name):
        refuse(fault)
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        refuse("symbolic link" if stat.S_ISLNK(info.external_attr >> 16) else "not a plain file")
    if info.flag_bits & 0x1:
        refuse("encrypted")
    if info.compress_type not in _METHODS:
        refuse("compressed in an unusual way")
    if name.lower().endswith(_NESTED):
        refuse("an archive inside the zip")
    if info.file_size > limits.max_entry_mb * 1_000_000:
        refuse(f"unpacks to more than {limits.max_entry_mb} MB")
    if info.file_size > limits.max_ratio * max(info.compress_size, 1024):
        refuse("unpacks to far more than its size")


def _check_apart(source: Path, entries: list[tuple[str, zipfile.ZipInfo]], directory: int) -> None:
    """Refuse entries of one name, and entries that share bytes (which is how small bombs unpack to much)."""
    seen: set[str] = set()
    for name, _ in entries:
        if name in seen:
            raise CoordinatorError("intake.zip.bad_entry", path=source.name, entry=shown(name), why="stands twice")
        seen.add(name)
    following = directory
    for name, info in sorted(entries, key=lambda e: e[1].header_offset, reverse=True):
        least = _LOCAL_HEADER_BYTES + len(info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"))
        if info.header_offset + least + info.compress_size > following:
            raise CoordinatorError(
                "intake.zip.bad_entry", path=source.name, entry=shown(name), why="overlaps with another entry"
            )
        following = info.header_offset


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Stream one entry; a size that was lied about ends it."""
    written = 0
    with archive.open(info) as packed, target.open("wb") as file:
        while block := packed.read(_BLOCK):
            written += len(block)
            if written > info.file_size:
                raise zipfile.BadZipFile(info.orig_filename)
            file.write(block)
    if written != info.file_size:
        raise zipfile.BadZipFile(info.orig_filename)
