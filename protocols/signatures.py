"""A JSON body and the signature under it, as they travel: one line of base64, then the body's very bytes. Pure.

What is signed is the format's name, a line end and the body: so a signature counts for nothing else, and nobody needs to agree
on how JSON is written.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

_MAX_SIGNATURE = 200


@dataclass(frozen=True)
class Signed:
    """A signature that nobody has verified yet, and the bytes that it is said to be for."""

    signature: bytes
    data: bytes


def signed_bytes(form: str, body: bytes) -> bytes:
    """What a signature is made over."""
    return form.encode() + b"\n" + body


def envelope(signature: bytes, body: bytes) -> bytes:
    """Signature and body as they travel."""
    return base64.b64encode(signature) + b"\n" + body


def opened(data: bytes, form: str, most_bytes: int) -> tuple[Signed, Any]:
    """Take an envelope from a stranger apart: the signature, and the JSON document that it is said to be under.

    Raises:
        ValueError: it is none, or larger than ``most_bytes``.
        RecursionError: its JSON is too deep.
    """
    if len(data) > most_bytes:
        raise ValueError
    line, _, body = data.partition(b"\n")
    if len(line) > _MAX_SIGNATURE:
        raise ValueError
    return Signed(base64.b64decode(line, validate=True), signed_bytes(form, body)), json.loads(body)
