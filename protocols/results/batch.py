"""Batches of reports on the wire: one compressed binary frame, acknowledged by a receipt that names its digest."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence

from protocols.artifacts import canonical_json
from protocols.errors import ProtocolError
from protocols.results.report import Report, read_report

FORMAT = "medmesh.results/1"  # also what a coordinator says that it accepts
MAX_RECORDS = 200
MAX_FRAME_BYTES = 32 * 1024  # 200 reports take 8 to 12 kB
_MAX_JSON_BYTES = 512 * 1024


def batch_id(frame: bytes) -> str:
    """What a receipt calls the batch that came as ``frame``."""
    return hashlib.sha256(frame).hexdigest()[:16]


def pack(reports: Sequence[Report]) -> tuple[bytes, int]:
    """The frame of as many of the first ``reports`` as fit into one, and how many these are.

    Raises:
        ProtocolError: ``results.too_large`` where not even the first one fits.
    """
    count = min(len(reports), MAX_RECORDS)
    while True:
        data = canonical_json({"format": FORMAT, "records": [r.document() for r in reports[:count]]})
        frame = zlib.compress(data, 9)
        if len(frame) <= MAX_FRAME_BYTES and len(data) <= _MAX_JSON_BYTES:
            return frame, count
        if count == 1:
            raise ProtocolError("results.too_large", limit=MAX_FRAME_BYTES)
        count //= 2


def unpack(frame: bytes) -> tuple[Report, ...]:
    """Read a batch from a stranger: bounded before it is expanded, and all of it right or none of it taken.

    Raises:
        ProtocolError: ``results.too_large`` or ``results.malformed``.
    """
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError("results.too_large", limit=MAX_FRAME_BYTES)
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(frame, _MAX_JSON_BYTES)
        if not inflater.eof or inflater.unused_data:
            raise ProtocolError("results.malformed", field="compression")
        document = json.loads(data)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ProtocolError("results.malformed", field="JSON") from error
    match document:
        case {"format": str(form), "records": list(records)} if form == FORMAT and 0 < len(records) <= MAX_RECORDS:
            return tuple(read_report(record) for record in records)
    raise ProtocolError("results.malformed", field="records")
