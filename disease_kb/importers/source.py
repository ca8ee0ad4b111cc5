"""Reading whatever file or folder a person names, with what was wrong or had to be assumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from disease_kb import native, replica
from disease_kb.errors import KnowledgeBaseError, UnreadableSourceError
from disease_kb.importers.csv_table import read_csv
from disease_kb.importers.obo import read_obo
from disease_kb.model import Entry

Format = Literal["native", "csv", "obo", "replica"]

MAX_FILE_BYTES = 64_000_000
MAX_FOLDER_FILES = 50_000


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a source holds. With any ``problems`` nothing of it may be imported."""

    entries: tuple[Entry, ...]
    problems: tuple[KnowledgeBaseError, ...] = ()
    encoding: str = "utf-8"


def read_source(path: Path, form: Format | None = None) -> Incoming:
    """Read a native file or folder, a CSV table, an OBO ontology or a replica; the form follows the name if not given.

    Raises:
        KnowledgeBaseError: it does not exist, is too large, or cannot be read at all.
    """
    if not path.exists():
        raise KnowledgeBaseError("file.not_found", path=path)
    if path.is_dir():
        return _read_folder(path)
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise UnreadableSourceError("kb.file.too_large", source=path.name, size=size, limit=MAX_FILE_BYTES)
    data = path.read_bytes()
    chosen = form or _form_of(path, data)
    if chosen == "csv":
        table = read_csv(data, path.name)
        return Incoming(table.entries, table.problems, table.encoding)
    if chosen == "obo":
        return Incoming(tuple(read_obo(data, path.name)))
    if chosen == "replica":
        return Incoming(tuple(replica.read(data)))
    return _collect({path.name: data})


def _form_of(path: Path, data: bytes) -> Format:
    if data.startswith(b"MMKB"):
        return "replica"
    by_ending: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".obo": "obo", ".toml": "native"}
    form = by_ending.get(path.suffix.lower())
    if form is None:
        raise UnreadableSourceError("kb.file.form", source=path.name)
    return form


def _read_folder(folder: Path) -> Incoming:
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise UnreadableSourceError("kb.file.empty_folder", source=folder)
    if len(files) > MAX_FOLDER_FILES:
        raise UnreadableSourceError(
            "kb.field.too_many", entry="-", where=folder, count=len(files), limit=MAX_FOLDER_FILES
        )
    # One byte more than allowed is enough to be refused.
    return _collect({file.name: _head(file) for file in files})


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(native.MAX_FILE_BYTES + 1)


def _collect(files: dict[str, bytes]) -> Incoming:
    entries: dict[str, Entry] = {}
    problems: list[KnowledgeBaseError] = []
    for name, data in files.items():
        try:
            entry = native.loads(data, name)
        except KnowledgeBaseError as error:
            problems.append(error)
            continue
        if entry.id in entries:
            problems.append(KnowledgeBaseError("kb.id.duplicate", entry=entry.id, where=name))
        entries[entry.id] = entry
    return Incoming(tuple(entries.values()), tuple(problems))
