"""A bundle: one zip on a stick, whose every byte is accounted for. Pure.

It is stricter than zip: entries are stored, not compressed, stand one behind the other from the first byte on, and bear names
of a short list. So nothing can overlap, hide, expand or lead anywhere, and what any unpacker shows is what a node reads.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from protocols.errors import ProtocolError

FAMILY = "medmesh.bundle/"
FORMAT = f"{FAMILY}1"
SUFFIX = ".medmesh"
HEADER, TUF, ARTIFACTS, PARCELS, RECEIPTS = "bundle.json", "tuf/", "artifacts/", "parcels/", "receipts/"
MAX_ENTRIES = 4096
MAX_BUNDLE_BYTES = 2**32 - 2  # the longest file on a FAT32 stick, and of a zip without its 64-bit extension
MAX_HEADER_BYTES = 64 * 1024
MAX_PARCELS = 256  # that a node takes in of others and carries on
MAX_PARCELS_BYTES = 64 * 1024 * 1024
MAX_RECEIPTS = 1000
END_BYTES: Final = 22
LOCAL_BYTES: Final = 30

_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_MAX_NAME = 200
_SLUG = r"[a-z0-9][a-z0-9-]{0,62}"
_SHA256 = r"[0-9a-f]{64}"
_NAME = re.compile(
    rf"""bundle\.json
    |tuf/metadata/(?:timestamp|[1-9][0-9]{{0,8}}\.(?:root|snapshot|targets|{_SLUG}))\.json
    |tuf/targets/rollout/{_SHA256}\.catalogue\.json
    |tuf/targets/releases/{_SLUG}/{_SHA256}\.{_SLUG}@[0-9]{{1,9}}
    |(?:artifacts|parcels|receipts)/{_SHA256}""",
    re.VERBOSE,
)


def is_name(name: str) -> bool:
    """Whether an entry of a bundle may be called so."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Entry:
    """A file in the bundle: where its bytes begin, and how many there are."""

    name: str
    start: int
    size_bytes: int

    @property
    def header_start(self) -> int:
        """Where its local header begins."""
        return self.start - LOCAL_BYTES - len(self.name)


@dataclass(frozen=True)
class Directory:
    """Where the zip's directory stands."""

    entries: int
    start: int
    size_bytes: int


def read_end(data: bytes, size_bytes: int) -> Directory:
    """Read the last ``END_BYTES`` of a file of ``size_bytes``.

    Raises:
        ProtocolError: ``bundle.malformed``.
    """
    if len(data) != END_BYTES or size_bytes > MAX_BUNDLE_BYTES:
        raise _malformed("end")
    mark, disk, first_disk, here, entries, length, start, comment = _END.unpack(data)
    if mark != b"PK\5\6" or disk or first_disk or comment or here != entries:
        raise _malformed("end")
    if entries > MAX_ENTRIES or length > MAX_ENTRIES * (_CENTRAL.size + _MAX_NAME):
        raise _malformed("entries")
    if start + length + END_BYTES != size_bytes:
        raise _malformed("directory")
    return Directory(entries, start, length)


def read_directory(data: bytes, directory: Directory) -> dict[str, Entry]:
    """Read the directory's bytes.

    Raises:
        ProtocolError: ``bundle.malformed``: an unlisted or repeated name, or bytes that no entry or two entries claim.
    """
    found: dict[str, Entry] = {}
    at = next_start = 0
    for _ in range(directory.entries):
        fixed = data[at : at + _CENTRAL.size]
        if len(fixed) != _CENTRAL.size:
            raise _malformed("directory")
        mark, _, _, flags, method, _, _, _, packed, size, length, extra, comment, disk, _, _, start = _CENTRAL.unpack(
            fixed
        )
        at += _CENTRAL.size + length
        name = data[at - length : at].decode("ascii", "replace")
        if mark != b"PK\1\2" or flags or method or extra or comment or disk or packed != size:
            raise _malformed("entry")
        if not is_name(name) or name in found:
            raise _malformed("name")
        if start != next_start:
            raise _malformed("place")
        found[name] = Entry(name, start + LOCAL_BYTES + length, size)
        next_start = start + LOCAL_BYTES + length + size
    if at != len(data) or next_start != directory.start:
        raise _malformed("place")
    return found


def check_local(data: bytes, entry: Entry) -> None:
    """Make sure that the header before an entry's bytes says what the directory says.

    Raises:
        ProtocolError: ``bundle.malformed``.
    """
    if len(data) != LOCAL_BYTES + len(entry.name):
        raise _malformed("entry")
    mark, _, flags, method, _, _, _, packed, size, length, extra = _LOCAL.unpack(data[:LOCAL_BYTES])
    agrees = (packed, size, length, data[LOCAL_BYTES:]) == (
        entry.size_bytes,
        entry.size_bytes,
        len(entry.name),
        entry.name.encode(),
    )
    if mark != b"PK\3\4" or flags or method or extra or not agrees:
        raise _malformed("entry")


def _malformed(field: str) -> ProtocolError:
    return ProtocolError("bundle.malformed", field=field)
