"""What a record says: a result as ``recognise`` showed it, or a clinician's word on one; sealed for the store, opened for use."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from edge_node.outbox.report import report_of
from edge_node.outbox.seal import Seal, UnsealError
from edge_node.outbox.store import NewRecord, StoredRecord
from protocols.results.report import Confirmation, Report, whole_minute

_DETAIL = ("diagnosis", "timing_ms", "notice")  # long, and wanted only when one result is looked at again


def new_id() -> str:
    """A record's id: 128 random bits, so that nobody counts or guesses them."""
    return secrets.token_hex(16)


def seal_result(result: dict[str, Any], made: datetime, seal: Seal) -> NewRecord:
    """A result, which bears its ``id``, for the store."""
    record_id = result["id"]
    brief = {key: value for key, value in result.items() if key not in _DETAIL}
    detail = {key: value for key, value in result.items() if key in _DETAIL}
    return NewRecord(
        record_id,
        None,
        0,
        made,
        seal.close(brief, _place(record_id, 0, made, "brief")),
        seal.close(detail, _place(record_id, 0, made, "detail")),
    )


def seal_word(label: str, entry: str | None, result: str, revision: int, made: datetime, seal: Seal) -> NewRecord:
    """A clinician's word on ``result`` for the store."""
    record_id = new_id()
    brief = seal.close({"label": label, "entry": entry}, _place(record_id, revision, made, result))
    return NewRecord(record_id, result, revision, made, brief, None)


def open_brief(record: StoredRecord, seal: Seal) -> dict[str, Any]:
    """A result without its long parts.

    Raises:
        UnsealError: it was altered.
    """
    return _document(seal.open(record.brief, _place(record.id, 0, record.made, "brief")))


def open_result(record: StoredRecord, seal: Seal) -> dict[str, Any]:
    """The whole result as it was shown.

    Raises:
        UnsealError: it was altered.
    """
    detail = seal.open(record.detail or b"", _place(record.id, 0, record.made, "detail"))
    return {**open_brief(record, seal), **_document(detail)}


def open_word(record: StoredRecord, seal: Seal) -> Confirmation:
    """A clinician's word.

    Raises:
        UnsealError: it was altered.
    """
    result = record.result or ""
    word = _document(seal.open(record.brief, _place(record.id, record.revision, record.made, result)))
    return Confirmation(record.id, whole_minute(record.made), result, record.revision, word["label"], word["entry"])


def report_from(record: StoredRecord, seal: Seal) -> Report:
    """What the coordinator may know of a record.

    Raises:
        UnsealError: it was altered.
        ProtocolError: ``results.malformed``: it cannot be reported.
    """
    if record.result is None:
        return report_of(open_brief(record, seal), record.made)
    return open_word(record, seal)


def _document(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnsealError
    return value


def _place(record_id: str, revision: int, made: datetime, part: str) -> str:
    return f"{record_id}/{revision}/{made.isoformat()}/{part}"
