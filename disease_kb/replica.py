"""The replica that nodes carry: every entry in one small file, the same bytes for the same entries.

Layout: ``MMKB`` and a format byte, the number of blobs (4 bytes, big-endian), then each blob behind its length
(3 bytes). An entry is three blobs: what names and codes it, its clinical picture, and its care. Each is
deflated by itself with a dictionary of phrases that such texts share, so that one changed sentence changes two
small blobs (its own, and the one with the version). ``patch`` then says how to get a new file from an old one:
blobs to copy and blobs to add.

Trust comes from the SHA-256 of the whole file in a signed manifest; ``apply_patch`` returns the very bytes of
the new file.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from disease_kb.changes import by_id
from disease_kb.document import from_document, to_document
from disease_kb.errors import UnreadableSourceError
from disease_kb.model import FIELDS, LIMITS, Entry
from disease_kb.replica_dictionary import dictionary

MAX_BYTES = 64_000_000
MAX_BLOBS = 3 * 50_000
MAX_UNPACKED_BYTES = 500_000_000  # all blobs of a file together

_MAGIC = b"MMKB\x01"
_PATCH_MAGIC = b"MMKP\x01"
_COUNT = struct.Struct(">I")
_COPY = struct.Struct(">BII")  # 0, first blob of the old file, number of blobs
_PARTS = (
    frozenset({"name", "synonym"}),
    frozenset({"definition", "symptom", "image_sign", "red_flag"}),
    frozenset({"differential", "management", "prevention"}),
)
_COLUMNS = ("register", "cite", "evidence", "translation", "en", "zh")


def build(entries: Iterable[Entry]) -> bytes:
    """Pack entries, by id.

    Raises:
        InvalidEntryError: an id stands twice.
    """
    known = by_id(entries)
    return _join([_deflate(part) for name in sorted(known) for part in _split(known[name])])


def read(data: bytes) -> list[Entry]:
    """Unpack a replica: at most ``LIMITS.document_bytes`` a blob and ``MAX_UNPACKED_BYTES`` in all, whatever it claims.

    Raises:
        UnreadableSourceError: not a replica, truncated, over a limit, or damaged.
        InvalidEntryError: an entry breaks the model's rules, or an id stands twice.
    """
    blobs = _blobs(data)
    if len(blobs) % len(_PARTS):
        raise UnreadableSourceError("kb.replica.damaged", detail="blob count")
    parts = _inflated(blobs)
    return list(by_id(_merge(group) for group in zip(*[parts] * len(_PARTS), strict=True)).values())


def patch(old: bytes, new: bytes) -> bytes:
    """Return what turns the replica ``old`` into ``new``; small when few entries differ.

    Raises:
        UnreadableSourceError: one of them is not a replica.
    """
    place = {blob: number for number, blob in enumerate(_blobs(old))}
    steps: list[tuple[int, int] | bytes] = []
    for blob in _blobs(new):
        number = place.get(blob)
        last = steps[-1] if steps else None
        if number is None:
            steps.append(blob)
        elif isinstance(last, tuple) and number == sum(last):
            steps[-1] = (last[0], last[1] + 1)
        else:
            steps.append((number, 1))
    body = b"".join(_COPY.pack(0, *step) if isinstance(step, tuple) else b"\x01" + _framed(step) for step in steps)
    return _PATCH_MAGIC + hashlib.sha256(old).digest()[:8] + hashlib.sha256(new).digest() + body


def apply_patch(old: bytes, change: bytes) -> bytes:
    """Return the new replica's exact bytes.

    Raises:
        UnreadableSourceError: ``change`` is damaged, made for another replica, or asks for too much.
    """
    if change[:5] != _PATCH_MAGIC or len(change) < 45:
        raise UnreadableSourceError("kb.replica.damaged", detail="patch header")
    if change[5:13] != hashlib.sha256(old).digest()[:8]:
        raise UnreadableSourceError("kb.replica.other_base")
    blobs, wanted = _blobs(old), change[13:45]
    result: list[bytes] = []
    size = 0
    for step in _steps(change[45:]):
        if isinstance(step, tuple) and sum(step) > len(blobs):
            raise UnreadableSourceError("kb.replica.damaged", detail="patch step")
        added = [step] if isinstance(step, bytes) else blobs[step[0] : step[0] + step[1]]
        size += sum(len(blob) + 3 for blob in added)
        if size > MAX_BYTES or len(result) > MAX_BLOBS:
            raise UnreadableSourceError("kb.replica.damaged", detail="patch size")
        result += added
    data = _join(result)
    if hashlib.sha256(data).digest() != wanted:
        raise UnreadableSourceError("kb.replica.damaged", detail="patch digest")
    return data


def _split(entry: Entry) -> list[dict[str, Any]]:
    """Cut a document into parts; texts stand in columns, which compress better, and ``order`` keeps their sequence."""
    document = to_document(entry)
    texts = document.pop("texts")
    order = "".join(str(FIELDS.index(text["field"])) for text in texts)
    parts: list[dict[str, Any]] = [{"entry": document, "order": order}, {}, {}]
    for part, fields in zip(parts, _PARTS, strict=True):
        own = [text for text in texts if text["field"] in fields]
        part |= {column: [text.get(column, "") for text in own] for column in _COLUMNS}
    return parts


def _merge(parts: Iterable[dict[str, Any]]) -> Entry:
    first, *_ = parts = list(parts)
    try:
        rows = [iter(_rows(part)) for part in parts]
        texts = []
        for digit in first["order"]:
            field = FIELDS[int(digit)]
            part = next(i for i, fields in enumerate(_PARTS) if field in fields)
            texts.append({"field": field, **next(rows[part])})
        if any(next(rest, None) is not None for rest in rows):
            raise ValueError("texts left over")
        document = {**first["entry"], "texts": texts}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UnreadableSourceError("kb.replica.damaged", detail="entry") from error
    return from_document(document)


def _rows(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for values in zip(*(part[column] for column in _COLUMNS), strict=True):
        yield {column: value for column, value in zip(_COLUMNS, values, strict=True) if value != ""}


def _deflate(part: dict[str, Any]) -> bytes:
    text = json.dumps(part, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary())
    return packer.compress(text.encode()) + packer.flush()


def _inflated(blobs: list[bytes]) -> Iterator[dict[str, Any]]:
    total = 0
    for blob in blobs:
        text = _inflate(blob)
        total += len(text)
        if total > MAX_UNPACKED_BYTES:
            raise UnreadableSourceError("kb.replica.damaged", detail="unpacked size")
        try:
            part = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UnreadableSourceError("kb.replica.damaged", detail="blob text") from error
        if not isinstance(part, dict):
            raise UnreadableSourceError("kb.replica.damaged", detail="blob shape")
        yield part


def _inflate(blob: bytes) -> bytes:
    unpacker = zlib.decompressobj(-15, dictionary())
    try:
        text = unpacker.decompress(blob, LIMITS.document_bytes)
    except zlib.error as error:
        raise UnreadableSourceError("kb.replica.damaged", detail="blob") from error
    if not unpacker.eof or unpacker.unused_data:
        raise UnreadableSourceError("kb.replica.damaged", detail="blob size")
    return text


def _join(blobs: list[bytes]) -> bytes:
    return _MAGIC + _COUNT.pack(len(blobs)) + b"".join(_framed(blob) for blob in blobs)


def _framed(blob: bytes) -> bytes:
    return len(blob).to_bytes(3, "big") + blob


def _blobs(data: bytes) -> list[bytes]:
    """Cut a file into its blobs, with every length checked."""
    if len(data) > MAX_BYTES:
        raise UnreadableSourceError("kb.file.too_large", source="replica", size=len(data), limit=MAX_BYTES)
    if data[:5] != _MAGIC or len(data) < 9:
        raise UnreadableSourceError("kb.replica.not_one")
    (count,) = _COUNT.unpack(data[5:9])
    if count > MAX_BLOBS:
        raise UnreadableSourceError("kb.replica.damaged", detail="blob count")
    blobs: list[bytes] = []
    at = 9
    for _ in range(count):
        blob, at = _framed_at(data, at)
        blobs.append(blob)
    if at != len(data):
        raise UnreadableSourceError("kb.replica.damaged", detail="trailing bytes")
    return blobs


def _framed_at(data: bytes, at: int) -> tuple[bytes, int]:
    start = at + 3
    end = start + int.from_bytes(data[at:start], "big")
    if start > len(data) or end > len(data):
        raise UnreadableSourceError("kb.replica.damaged", detail="truncated")
    return data[start:end], end


def _steps(body: bytes) -> Iterator[tuple[int, int] | bytes]:
    at = 0
    while at < len(body):
        if body[at] == 1:
            blob, at = _framed_at(body, at + 1)
            yield blob
        elif body[at] == 0 and at + _COPY.size <= len(body):
            _, first, count = _COPY.unpack_from(body, at)
            at += _COPY.size
            yield first, count
        else:
            raise UnreadableSourceError("kb.replica.damaged", detail="patch step")
