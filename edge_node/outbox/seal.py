"""Sealing what is said about a picture: AES-256-GCM, each piece bound to its record, so that none can be moved to another."""

from __future__ import annotations

import json
import secrets
import zlib
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_MOST_BYTES = 16 * 1024 * 1024


class UnsealError(Exception):
    """The piece was not sealed with this key for this place, or was altered."""


class Seal:
    """Seals JSON, or bytes, with one key."""

    def __init__(self, key: bytes) -> None:
        """Args: key: 32 random bytes."""
        self._cipher = AESGCM(key)

    def close(self, document: Any, place: str) -> bytes:
        """Compress and encrypt ``document`` for ``place``, such as a record's id and the name of a column."""
        data = zlib.compress(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
        return self.close_bytes(data, place)

    def close_bytes(self, data: bytes, place: str) -> bytes:
        """Encrypt ``data`` as it is."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, place.encode())

    def open(self, sealed: bytes, place: str) -> Any:
        """What was sealed.

        Raises:
            UnsealError: by another key, for another place, or altered.
        """
        try:
            return json.loads(zlib.decompressobj().decompress(self.open_bytes(sealed, place), _MOST_BYTES))
        except (ValueError, zlib.error) as error:
            raise UnsealError(place) from error

    def open_bytes(self, sealed: bytes, place: str) -> bytes:
        """What ``close_bytes`` sealed.

        Raises:
            UnsealError: as ``open``.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise UnsealError(place) from error
