"""Reading a folder of labelled images, one folder a class: which files count, and why the others do not."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_node.errors import EdgeError
from protocols.errors import MedMeshError
from protocols.federation.labels import MAX_LABEL_CHARS
from protocols.imaging import open_image
from protocols.manifest import MAX_LABELS

GROUPS = "groups.csv"
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Found:
    """One image that counts.

    Attributes:
        sha256: of the original file.
        label, group: what it shows, and what pictures of one patient or case share.
        path: the original file.
        result: the result in the history whose sealed copy is read in its place; None: the file itself is.
    """

    sha256: str
    label: str
    group: str
    path: Path = Path()
    result: str | None = None


@dataclass
class Reading:
    """What a folder holds.

    Attributes:
        labels: the classes, also those without images: what this site tells apart.
        images: that count.
        rejected: (file below the folder, code).
        conflicts: files that stand under two labels; set aside.
        grouped: whether groups were given.
    """

    labels: tuple[str, ...]
    images: list[Found] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    grouped: bool = False


def read_folder(folder: Path, groups_csv: Path | None, progress: Callable[[int, int], None]) -> Reading:
    """Look at every image, opened and decoded; nothing is copied.

    Raises:
        EdgeError: ``federation.data_folder``, ``federation.data_groups``.
    """
    if not folder.is_dir():
        raise EdgeError("federation.data_folder", path=folder)
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not is_ignored(p.name))
    labels = tuple(p.name for p in classes)
    if not 2 <= len(labels) <= MAX_LABELS or any(len(n) > MAX_LABEL_CHARS or not n.isprintable() for n in labels):
        raise EdgeError("federation.data_folder", path=folder)
    files = [(c.name, p) for c in classes for p in sorted(c.iterdir()) if p.is_file() and not is_ignored(p.name)]
    groups = _groups(
        groups_csv or folder / GROUPS, {_name(folder, p) for _, p in files}, required=groups_csv is not None
    )
    reading = Reading(labels, grouped=bool(groups))
    seen: dict[str, Found] = {}
    conflicts: set[str] = set()
    for done, (label, path) in enumerate(files, start=1):
        name = _name(folder, path)
        try:
            data = path.read_bytes()
            with open_image(data) as image:
                image.load()
        except MedMeshError as error:
            reading.rejected.append((name, error.code))
            continue
        except (OSError, ValueError, SyntaxError):
            reading.rejected.append((name, "image.unreadable"))
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in seen:
            if seen[sha256].label != label:
                conflicts.add(sha256)
                reading.conflicts.append(name)
            continue
        seen[sha256] = Found(sha256, label, groups.get(name, name if not groups else f"? {name}"), path.absolute())
        progress(done, len(files))
    reading.conflicts += [_name(folder, seen[c].path) for c in conflicts]
    reading.images = [found for sha256, found in seen.items() if sha256 not in conflicts]
    return reading


def _groups(path: Path, known: set[str], *, required: bool) -> dict[str, str]:
    """``file,group``, UTF-8 with or without a mark."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        if required:
            raise EdgeError("federation.data_groups", path=path.name, row=0) from error
        return {}
    except UnicodeDecodeError as error:
        raise EdgeError("federation.data_groups", path=path.name, row=1) from error
    rows = csv.DictReader(io.StringIO(text))
    if not {"file", "group"} <= set(rows.fieldnames or ()):
        raise EdgeError("federation.data_groups", path=path.name, row=1)
    groups: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, group = (row["file"] or "").strip().replace("\\", "/"), (row["group"] or "").strip()
        if name not in known or not group or groups.setdefault(name, group) != group:
            raise EdgeError("federation.data_groups", path=path.name, row=number)
    return groups


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def is_ignored(name: str) -> bool:
    """What systems leave beside pictures."""
    return name.startswith(".") or name in _IGNORED
