"""Writing an export to disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from disease_kb import native, replica
from disease_kb.errors import ConflictError
from disease_kb.exporters.csv_table import csv_table
from disease_kb.exporters.page import review_page
from disease_kb.model import Entry

Format = Literal["native", "csv", "html", "replica"]

_DEFAULT_NAMES: dict[Format, str] = {
    "native": "knowledge-base",
    "csv": "knowledge-base.csv",
    "html": "knowledge-base.html",
    "replica": "knowledge-base.mmkb",
}


def export_to(out: Path | None, form: Format, entries: Sequence[Entry], version: str, *, force: bool) -> Path:
    """Write entries to ``out``, or under a default name in the current folder; returns the place.

    Raises:
        ConflictError: a file is there already and ``force`` is not set; nothing was written.
    """
    path = out or Path(_DEFAULT_NAMES[form])
    files = _contents(path, form, entries, version)
    for file in files:
        if file.exists() and not force:
            raise ConflictError("kb.export.exists", path=file)
    for file, data in files.items():
        _write(file, data)
    return path


def _contents(path: Path, form: Format, entries: Sequence[Entry], version: str) -> dict[Path, bytes]:
    if form == "native":
        return {path / f"{entry.id}.toml": native.dumps(entry).encode() for entry in entries}
    if form == "csv":
        return {path: csv_table(entries)}
    if form == "html":
        return {path: review_page(entries, version).encode()}
    return {path: replica.build(entries)}


def _write(file: Path, data: bytes) -> None:
    """Replace a file so that it is whole at any moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(data)
    part.replace(file)
