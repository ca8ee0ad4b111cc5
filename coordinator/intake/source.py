"""Reading a training set: a folder or zip with one folder for each class. Nothing in it is trusted."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import CoordinatorError
from coordinator.intake.archive import decoded, is_archive, name_fault, shown, unpack
from coordinator.intake.limits import Limits

GROUPS_FILE = "groups.csv"
MAX_LABEL = 120  # characters
_IGNORED = {"thumbs.db", "desktop.ini", ".ds_store", "__macosx"}
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


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
    empty: tuple[str, ...] = ()  # class folders that hold no file

    @property
    def nested(self) -> int:
        """How many files lie deeper than in their class folder itself."""
        return sum(m.name.count("/") > 1 for m in self.members)


@contextmanager
def open_training_set(
    source: Path, spool: Path, merge_classes: bool = False, limits: Limits | None = None
) -> Iterator[TrainingSet]:
    """Read a folder in place, or unpack a zip under names of our own into ``spool`` (an empty folder of the caller).

    Raises:
        CoordinatorError: ``intake.…``; nothing of the archive is kept then.
    """
    limits = limits or Limits()
    if source.is_dir():
        found: list[tuple[str, Path | None]] = list(_walk(source, limits))
    elif not source.exists():
        raise CoordinatorError("file.not_found", path=source)
    elif source.is_file() and is_archive(source):
        found = list(unpack(source, spool, limits))
    else:
        raise CoordinatorError("intake.not_a_dataset", path=source)
    files = [(name, path) for name, path in found if path is not None]
    yield arrange(files, source, merge_classes, [name for name, path in found if path is None])


def _walk(folder: Path, limits: Limits) -> Iterator[tuple[str, Path | None]]:
    """Files of a folder by their names in it; folders end in ``/`` and have no file."""
    for number, path in enumerate(sorted(folder.rglob("*"))):
        name = path.relative_to(folder).as_posix()
        try:
            name.encode()
        except UnicodeEncodeError:  # bytes on the disk that are no UTF-8: a folder made from a Chinese Windows zip
            name = decoded(os.fsencode(name)) or name.encode("utf-8", "replace").decode()
        why = "symbolic link" if path.is_symlink() else name_fault(name)
        if why is not None:
            raise CoordinatorError("intake.zip.bad_entry", path=folder.name, entry=shown(name), why=why)
        if number >= limits.max_entries:
            raise CoordinatorError("intake.zip.too_large", path=folder.name, limit=f"{limits.max_entries} entries")
        if path.is_file():
            yield name, path
        elif path.is_dir():
            yield f"{name}/", None


def is_ignored(name: str) -> bool:
    """Hidden and system files that operating systems leave behind."""
    return any(part.startswith(".") or part.lower() in _IGNORED for part in name.rstrip("/").split("/"))


def arrange(
    files: list[tuple[str, Path]], source: Path, merge_classes: bool, folders: Iterable[str] = ()
) -> TrainingSet:
    """Sort files into classes by their first folder, forgiving one wrapper folder around them.

    Args:
        files: names in the set, with where their bytes are.
        source: named in messages.
        merge_classes: treat class folders that a reader cannot tell apart as one.
        folders: names of folders, ending in ``/``, empty ones included.

    Raises:
        CoordinatorError: ``intake.classes_alike``, ``intake.split_folders``, ``intake.bad_class`` or
            ``intake.no_classes``.
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
    classes = {name.split("/")[0] for name, _ in inside}
    if classes and {c.casefold() for c in classes} <= _SPLITS and all(n.count("/") > 1 for n, _ in inside):
        raise CoordinatorError("intake.split_folders", path=source.name, folders=", ".join(sorted(classes)))
    for folder in sorted(classes):
        if not folder.strip() or len(folder) > MAX_LABEL:
            raise CoordinatorError("intake.bad_class", name=shown(folder), limit=MAX_LABEL)
    spelling = _spellings(classes, merge_classes)
    if len(set(spelling.values())) < 2:
        raise CoordinatorError("intake.no_classes", path=source.name, found=len(set(spelling.values())))
    members = [Member(name, spelling[name.split("/")[0]], path) for name, path in inside]
    below = {f.removeprefix(wrapper).split("/")[0] for f in folders if f.startswith(wrapper) and not is_ignored(f)}
    alike = {_key(c) for c in classes}
    empty = tuple(sorted(f for f in below - {""} if _key(f) not in alike))
    return TrainingSet(members, beside, ignored, groups_file, wrapper, empty)


def _key(folder: str) -> str:
    """Equal for names that a reader takes for the same."""
    folded = unicodedata.normalize("NFC", folder).strip().casefold()
    return unicodedata.normalize("NFC", folded)


def _spellings(folders: Iterable[str], merge: bool) -> dict[str, str]:
    """Class folder as written -> label; folders that are equal to a reader are merged only on request."""
    by_key: dict[str, list[str]] = {}
    for folder in sorted(set(folders)):
        by_key.setdefault(_key(folder), []).append(folder)
    for alike in by_key.values():
        if len(alike) > 1 and not merge:
            raise CoordinatorError("intake.classes_alike", names=", ".join(alike))
    return {f: unicodedata.normalize("NFC", alike[0]).strip() for alike in by_key.values() for f in alike}
