"""Small files that want to become large ones."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache

from tests.support.pictures import noise, png

BOMB_BYTES = 300_000_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """One part of a PNG."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def _zeros(count: int) -> Iterator[bytes]:
    for start in range(0, count, 1 << 20):
        yield bytes(min(1 << 20, count - start))


@cache
def _packed(count: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(block) for block in _zeros(count)) + packer.flush()


def huge_png(edge_px: int = 13_000) -> bytes:
    """20 kB that announce a picture of 169 megapixels; most of it is missing, which shows only when it is decoded."""
    header = struct.pack(">LLBBBBB", edge_px, edge_px, 8, 0, 0, 0, 0)
    rows = _packed(edge_px * edge_px // 8)
    return _SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_bomb(kind: bytes) -> bytes:
    """A good picture with 300 MB of text, or of a colour profile, in 300 kB."""
    good = png(noise(1))
    return good[:33] + chunk(kind, b"name\0\0" + _packed(BOMB_BYTES)) + good[33:]


def zip_bomb() -> bytes:
    """Two good pictures, and 300 MB in 300 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/1.png", "b/1.png"):
            archive.writestr(name, png(noise(len(name))))
        with archive.open("a/bomb.png", "w") as entry:
            for block in _zeros(BOMB_BYTES):
                entry.write(block)
    return buffer.getvalue()
