"""The app's own few choices, in one small file."""

from __future__ import annotations

import json
from pathlib import Path

from edge_node.files import write_atomic
from edge_node.ui.worker import Worker
from protocols.errors import Language


class FilePreferences:
    """``preferences.json``; a damaged one counts as absent."""

    def __init__(self, path: Path, default: Language, worker: Worker) -> None:
        self._path = path
        self._default: Language = default
        self._worker = worker

    def language(self) -> Language:
        """The language chosen last, else the machine's."""
        try:
            document = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return self._default
        chosen = document.get("language") if isinstance(document, dict) else None
        return chosen if chosen in ("zh", "en") else self._default

    async def set_language(self, language: Language) -> None:
        """Remember the language."""
        await self._worker.call(write_atomic, self._path, json.dumps({"language": language}).encode())
