"""Reading a training set: a folder or zip with one folder for each class. Nothing in it is trusted."""

from __future__ import annotations

import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coordinator.errors import CoordinatorError

MAX_ENTRIES = 200_000
MAX_ENTRY_BYTES = 256 * 1024 * 1024
MAX_TOTAL_BYTES = 20 * 1024**3
MAX_RATIO = 200  # images hardly compress; a higher ratio is a bomb
GROUPS_FILE = "groups.csv"
_IGNORED = {"thumbs.db", "desktop.ini", ".ds_store", "__macosx"}
_BLOCK = 1024 * 1024
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """One file of the training set.

    Attributes:
        name: path inside the set, with ``/``, starting with the class folder; data, never used as a path on disk.
        label: the class folder's name, NFC.
        path: where its bytes are.
    """

    name: str
    label: str
    path: Path


@dataclass(frozen=True)
class TrainingSet:
    """What was found, before any image is opened."""

    members: list[Member]
    beside: list[str]  # files that are not in a class folder
    ignored: int  # hidden and system files
    groups_file: Path | None
    wrapper: str  # a single folder around the class folders, or ""


@contextmanager
def open_training_set(source: Path, spool: Path, merge_classes: bool = False) -> Iterator[TrainingSet]:
    """Read a folder in place, or unpack a zip under names of our own into ``spool`` (an empty folder of the caller).

    Raises:
        CoordinatorError: ``intake.…``; nothing of the archive is kept then.
    """
    if source.is_dir():
        yield arrange(_walk(source), source, merge_classes)
    elif source.is_file() and zipfile.is_zipfile(source):
        yield arrange(list(_unpack(source, spool)), source, merge_classes)
    elif not source.exists():
        raise CoordinatorError("file.not_found", path=source)
    else:
        raise CoordinatorError("intake.not_a_dataset", path=source)


def _walk(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise CoordinatorError(
                "intake.zip.bad_entry", path=folder, entry=path.relative_to(folder), why="symbolic link"
            )
        if path.is_file():
            found.append((path.relative_to(folder).as_posix(), path))
    return found


def entry_name(info: zipfile.ZipInfo) -> str:
    """An entry's name as its author meant it: flagged UTF-8, else UTF-8 where it fits, else GB18030 (Chinese Windows)."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    raw = info.orig_filename.encode("cp437", errors="replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.orig_filename


def _check_entry(source: Path, info: zipfile.ZipInfo, name: str) -> None:
    shown = name.encode("unicode_escape").decode()[:120]
    if name.startswith("/") or _DRIVE.match(name) or ".." in PurePosixPath(name).parts:
        raise CoordinatorError("intake.zip.path_traversal", path=source.name, entry=shown)

    def refuse(why: str) -> None:
        raise CoordinatorError("intake.zip.bad_entry", path=source.name, entry=shown, why=why)

    if "\\" in name or any(unicodedata.category(c) == "Cc" for c in name):
        refuse("control character or backslash in the name")
    if stat.S_ISLNK(info.external_attr >> 16):
        refuse("symbolic link")
    if info.flag_bits & 0x1:
        refuse("encrypted")
    if name.lower().endswith(".zip"):
        refuse("a zip inside the zip")
    if info.file_size > MAX_ENTRY_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1024):
        refuse("unpacks to far more than its size")


def _unpack(source: Path, spool: Path) -> Iterator[tuple[str, Path]]:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [(entry_name(i), i) for i in archive.infolist() if not i.is_dir()]
            names = [name for name, _ in entries]
            if len(entries) > MAX_ENTRIES or sum(i.file_size for _, i in entries) > MAX_TOTAL_BYTES:
                raise CoordinatorError("intake.zip.too_large", path=source.name, limit=f"{MAX_TOTAL_BYTES >> 30} GiB")
            for name, info in entries:
                _check_entry(source, info, name)
            if len(set(names)) != len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise CoordinatorError("intake.zip.bad_entry", path=source.name, entry=twice, why="stands twice")
            for number, (name, info) in enumerate(entries):
                if is_ignored(name):
                    yield name, source  # counted, never read
                    continue
                target = spool / f"{number:06d}"
                _copy(archive, info, target)
                yield name, target
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CoordinatorError("intake.zip.damaged", path=source.name) from error


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


def is_ignored(name: str) -> bool:
    """Hidden and system files that operating systems leave behind."""
    return any(part.startswith(".") or part.lower() in _IGNORED for part in name.split("/"))


def arrange(files: list[tuple[str, Path]], source: Path, merge_classes: bool) -> TrainingSet:
    """Sort files into classes by their first folder, forgiving one wrapper folder around them.

    Raises:
        CoordinatorError: ``intake.classes_alike`` or ``intake.no_classes``.
    """
    wanted = [(name, path) for name, path in files if not is_ignored(name)]
    ignored = len(files) - len(wanted)
    tops = {name.split("/")[0] for name, _ in wanted}
    wrapper = ""
    if len(tops) == 1 and any(name.count("/") >= 2 for name, _ in wanted):
        wrapper = f"{tops.pop()}/"
        wanted = [(name.removeprefix(wrapper), path) for name, path in wanted]
    groups_file = next((path for name, path in wanted if name == GROUPS_FILE), None)
    beside = [name for name, _ in wanted if "/" not in name and name != GROUPS_FILE]
    inside = [(name, path) for name, path in wanted if "/" in name]
    spelling = _spellings([name.split("/")[0] for name, _ in inside], merge_classes)
    members = [Member(name, spelling[name.split("/")[0]], path) for name, path in inside]
    classes = {m.label for m in members}
    if len(classes) < 2:
        raise CoordinatorError("intake.no_classes", path=source.name, found=len(classes))
    return TrainingSet(members, beside, ignored, groups_file, wrapper)


def _spellings(folders: list[str], merge: bool) -> dict[str, str]:
    """Class folder as written -> label; folders that are equal to a reader are merged only on request."""
    by_key: dict[str, list[str]] = {}
    for folder in sorted(set(folders)):
        by_key.setdefault(unicodedata.normalize("NFC", folder).strip().casefold(), []).append(folder)
    for alike in by_key.values():
        if len(alike) > 1 and not merge:
            raise CoordinatorError("intake.classes_alike", names=", ".join(alike))
    return {f: unicodedata.normalize("NFC", alike[0]).strip() for alike in by_key.values() for f in alike}
