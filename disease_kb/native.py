"""The native format: one readable TOML text an entry (docs/knowledge-base-format.md)."""

from __future__ import annotations

import tomllib
from datetime import date

import tomli_w

from disease_kb.document import from_document, to_document
from disease_kb.errors import UnreadableSourceError
from disease_kb.model import LIMITS, Entry

MAX_FILE_BYTES = 2 * LIMITS.document_bytes


def dumps(entry: Entry) -> str:
    """Return the canonical TOML of an entry; equal entries give equal bytes."""
    document = to_document(entry)
    document["updated"] = date.fromisoformat(document["updated"])
    return tomli_w.dumps(document)


def loads(data: bytes, source: str) -> Entry:
    """Read one entry; ``source`` names it in errors.

    Raises:
        UnreadableSourceError: not UTF-8, not TOML, or over ``MAX_FILE_BYTES``.
        InvalidEntryError: it breaks the format's rules or limits.
    """
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableSourceError("kb.file.too_large", source=source, size=len(data), limit=MAX_FILE_BYTES)
    try:
        return from_document(tomllib.loads(data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise UnreadableSourceError("kb.file.encoding", source=source, position=error.start) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnreadableSourceError("kb.file.toml", source=source, problem=str(error)[:200]) from error
