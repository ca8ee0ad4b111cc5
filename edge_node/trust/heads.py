"""The heads of the coordinator's audit trail that this node has seen: each is a verified TUF timestamp, whole.

They are kept so that the coordinator's keeper, or whoever holds all its keys, cannot cut the trail off or write it anew without
nodes that remember otherwise. A head that contradicts an earlier one stops nothing here; it is noted, and both stay.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_node.errors import TrustError
from edge_node.files import write_atomic
from protocols.audit import head_of, keep
from protocols.errors import ProtocolError

FILE = "audit-heads.json"
MOST = 12


def kept(folder: Path) -> list[dict[str, Any]]:
    """The kept documents, oldest first; none where the file is missing or damaged."""
    try:
        found = json.loads((folder / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return [document for document in found if isinstance(document, dict) and _has_head(document)]


def see(folder: Path, timestamp: bytes) -> TrustError | None:
    """Keep what a timestamp says; returns the contradiction, if it contradicts an earlier one. Blocking.

    Raises:
        OSError: it could not be written.
    """
    try:
        heads, fault = keep(known := kept(folder), json.loads(timestamp), MOST)
    except (ProtocolError, ValueError):  # of a later version
        return None
    if heads != known:
        write_atomic(folder / FILE, json.dumps(heads).encode())
    return None if fault is None else TrustError("trust.audit_changed", row=fault.row, detail=fault.detail)


def _has_head(document: dict[str, Any]) -> bool:
    try:
        return head_of(document) is not None
    except ProtocolError:
        return False
