"""Reading request bodies: only so much, only in time, never all of a large one in memory."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from coordinator.errors import CoordinatorError

MAX_BODY_BYTES = 64 * 1024
IDLE_S = 15.0  # without a byte; below the server's own time-out, which would end the connection without a word
LEAST_BYTES_PER_S = 250  # a drip that would hold a connection for ever; the thinnest clinic's line is ten times as fast
GRACE_S = 30.0  # before the rate counts
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{44}):\s*(?:,|$)")


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


async def blocks(request: Request, most_bytes: int) -> AsyncIterator[bytes]:
    """The body in blocks, as they arrive.

    Raises:
        CoordinatorError: ``api.too_large``, ``api.slow`` or ``api.cut``.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > most_bytes):
        raise CoordinatorError("api.too_large", limit=most_bytes)
    loop = asyncio.get_running_loop()
    start, received = loop.time(), 0
    stream = request.stream()
    while True:
        try:
            block = await asyncio.wait_for(anext(stream), IDLE_S)
        except StopAsyncIteration:
            return
        except ClientDisconnect as error:
            raise CoordinatorError("api.cut") from error
        except TimeoutError as error:
            raise CoordinatorError("api.slow") from error
        received += len(block)
        if received > most_bytes:
            raise CoordinatorError("api.too_large", limit=most_bytes)
        spent = loop.time() - start
        if spent > GRACE_S and received < LEAST_BYTES_PER_S * spent:
            raise CoordinatorError("api.slow")
        yield block


async def read_body(request: Request, most_bytes: int) -> bytes:
    """A small body, whole.

    Raises:
        CoordinatorError: as ``blocks``.
    """
    body = bytearray()
    async for block in blocks(request, most_bytes):
        body += block
    return bytes(body)


async def read_json(request: Request, most_bytes: int = MAX_BODY_BYTES, malformed: str = "enrol.bad_request") -> Any:
    """A JSON body: finite numbers and whole characters only.

    Raises:
        CoordinatorError: as ``blocks``, or ``malformed``.
    """
    try:
        document = json.loads(await read_body(request, most_bytes), parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise CoordinatorError(malformed, field="JSON") from error
    return document


def need_type(request: Request, wanted: str) -> None:
    """Refuse another content type.

    Raises:
        CoordinatorError: ``api.media_type``.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != wanted:
        raise CoordinatorError("api.media_type", wanted=wanted)


def content_digest(request: Request) -> str:
    """The SHA-256 that the ``Content-Digest`` header (RFC 9530) tells, hexadecimal.

    Raises:
        CoordinatorError: ``upload.malformed``.
    """
    found = _DIGEST.search(request.headers.get("content-digest", ""))
    try:
        if found is None:
            raise ValueError
        data = base64.b64decode(found[1], validate=True)
        if len(data) != 32:
            raise ValueError
    except (binascii.Error, ValueError) as error:
        raise CoordinatorError("upload.malformed", field="Content-Digest (sha-256=:…:)") from error
    return data.hex()
