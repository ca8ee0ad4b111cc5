"""An upload in one go, as a browser's form sends it: its size and digest are known only when it is over."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import update

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.database import Database
from coordinator.store.tables import upload_parts, uploads
from coordinator.uploads import declaration
from coordinator.uploads.declaration import MOST_PART_BYTES
from coordinator.uploads.store import Uploads, data_path, no_room
from protocols.access import Principal

_BATCH_BYTES = 1024 * 1024


async def take(
    store: Uploads,
    database: Database,
    home: Home,
    told: dict[str, Any],
    most_bytes: int,
    blocks: AsyncIterator[bytes],
    grant: Principal,
    now: datetime,
) -> dict[str, Any]:
    """Keep a whole upload and queue its job; or keep nothing.

    Args:
        store: the uploads.
        database: theirs.
        home: theirs.
        told: ``kind`` and ``dataset`` or ``model`` as a declaration has them.
        most_bytes: room to set aside: no more than this arrives.
        blocks: the bytes.
        grant: whose it is.
        now: when.

    Raises:
        CoordinatorError: ``upload.…``, ``api.…`` or ``web.no_file``; nothing is kept.
    """
    reserved = {"size": most_bytes, "sha256": secrets.token_hex(32), "part_bytes": MOST_PART_BYTES}
    declared = declaration.read({**told, **reserved})
    with store.streaming(grant.name):
        state, _ = await store.create(declared, grant, now)
        upload = str(state["upload"])
        try:
            written = await _write(data_path(home, upload, declared.options), blocks)
            if written.size == 0:
                raise CoordinatorError("web.no_file")
            await _settle(database, upload, written)
            return await store.complete(upload, grant, now)
        except BaseException:  # a line that broke, too: nobody can go on with this upload
            await asyncio.shield(store.abort(upload, grant))
            raise


class _Written:
    """What has arrived: counted and hashed, whole and by parts."""

    def __init__(self) -> None:
        self.size = 0
        self.parts: list[str] = []
        self._whole = hashlib.sha256()
        self._part = hashlib.sha256()
        self._in_part = 0

    def add(self, data: bytes) -> None:
        """The next bytes."""
        self._whole.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            piece = view[: MOST_PART_BYTES - self._in_part]
            self._part.update(piece)
            self._in_part += len(piece)
            view = view[len(piece) :]
            if self._in_part == MOST_PART_BYTES:
                self._next()

    def end(self) -> None:
        """Nothing follows."""
        if self._in_part:
            self._next()

    @property
    def sha256(self) -> str:
        """Of the whole."""
        return self._whole.hexdigest()

    def _next(self) -> None:
        self.parts.append(self._part.hexdigest())
        self._part, self._in_part = hashlib.sha256(), 0


async def _write(path: Path, blocks: AsyncIterator[bytes]) -> _Written:
    written, batch = _Written(), bytearray()
    try:
        descriptor = await asyncio.to_thread(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            async for block in blocks:
                batch += block
                if len(batch) >= _BATCH_BYTES:
                    await asyncio.to_thread(_append, descriptor, bytes(batch), written)
                    batch.clear()
            await asyncio.to_thread(_append, descriptor, bytes(batch), written)
            written.end()
            await asyncio.to_thread(os.fsync, descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise no_room(error) from error
    return written


def _append(descriptor: int, data: bytes, written: _Written) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    written.add(data)


async def _settle(database: Database, upload: str, written: _Written) -> None:
    """The size and digests that are known now, in one transaction."""
    rows = [{"upload": upload, "number": n, "sha256": sha256} for n, sha256 in enumerate(written.parts)]
    async with database.begin() as connection:
        await connection.execute(
            update(uploads).where(uploads.c.id == upload).values(size=written.size, sha256=written.sha256)
        )
        await connection.execute(upload_parts.insert(), rows)
