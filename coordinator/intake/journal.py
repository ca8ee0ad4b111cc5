"""Finished checks of an import that has not ended, so that one that was killed does not check them again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from coordinator.intake.images import Checked, Facts
from coordinator.store.blobs import FolderBlobs

_FILE = "checked.jsonl"


class Journal:
    """One line for each finished check, by the digest of the file; a line that was cut off is as good as none."""

    def __init__(self, folder: Path, kept: FolderBlobs, originals: FolderBlobs) -> None:
        self._path = folder / _FILE
        self._kept = kept
        self._originals = originals
        self._known = self._read()
        self._file: IO[bytes] = self._path.open("ab")
        if self._path.stat().st_size:
            self._file.write(b"\n")  # ends what may have been cut off

    def __len__(self) -> int:
        return len(self._known)

    def find(self, path: Path) -> Checked | None:
        """The answer for a file of this content, if its copies are still whole."""
        with path.open("rb") as file:
            found = self._known.get(hashlib.file_digest(file, "sha256").hexdigest())
        if found is None or found.code:
            return found
        whole = _whole(self._kept, found.sha256) and (not found.original or _whole(self._originals, found.original))
        return found if whole else None

    def add(self, result: Checked) -> None:
        """Note a finished check; a worker that died has no digest and is asked again."""
        if result.source and result.source not in self._known:
            self._known[result.source] = result
            row = asdict(result) | {"perceptual": result.perceptual.hex()}
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Nothing can be added any more."""
        self._file.close()

    def _read(self) -> dict[str, Checked]:
        if not self._path.exists():
            return {}
        found: dict[str, Checked] = {}
        for line in self._path.read_bytes().splitlines():
            try:
                result = _checked(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            found[result.source] = result
        return found


def _checked(row: dict[str, Any]) -> Checked:
    facts = row["facts"]
    if facts is not None:
        facts = Facts(**(facts | {"border": tuple(facts["border"])}))
    return Checked(
        **(row | {"perceptual": bytes.fromhex(row["perceptual"]), "notes": tuple(row["notes"]), "facts": facts})
    )


def _whole(blobs: FolderBlobs, sha256: str) -> bool:
    """Whether a copy is there as it was written; one that is not is removed, to be made again."""
    if not blobs.has(sha256):
        return False
    if hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256:
        return True
    blobs.remove(sha256)
    return False
