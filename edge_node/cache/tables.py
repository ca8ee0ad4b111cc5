"""What the parts of the index share: one open file."""

from __future__ import annotations

from edge_node.sqlite import SqliteFile


class Tables:
    """Some tables of the index. Every change is one transaction."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
