"""Uploads in the store and on disk: declared, filled part by part, queued as a job.

A part's bytes go to their place in one file of the upload's own; a part counts from the moment at which its row is
committed, after the bytes were checked and synced. So a crash at any moment leaves parts that are there and parts that are
missing, and nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.access import owners
from coordinator.config import UploadLimits
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.jobs import queue
from coordinator.store.blobs import write_atomically
from coordinator.store.database import Database
from coordinator.store.tables import jobs, upload_parts, uploads
from coordinator.uploads.declaration import Declaration, part_size, subject
from protocols.access import Principal

_BATCH_BYTES = 1024 * 1024
_STRANDED_S = 3600


def data_path(home: Home, upload: str, options: dict[str, Any]) -> Path:
    """Where the bytes of an upload are; the name is ours, only its ending follows the declared format."""
    return home.uploads / upload / f"upload.{options.get('format', 'zip')}"


def groups_path(home: Home, upload: str) -> Path:
    """Where the groups file of an upload is, if it has one."""
    return home.uploads / upload / "groups.csv"


class Uploads:
    """What is on its way in."""

    def __init__(self, database: Database, home: Home, limits: UploadLimits) -> None:
        self._database = database
        self._home = home
        self._limits = limits
        self._receiving: set[tuple[str, int]] = set()
        self._streams: Counter[str] = Counter()

    async def create(self, declared: Declaration, who: Principal, now: datetime) -> tuple[dict[str, Any], bool]:
        """Open an upload, or find the one that was declared in the same words; returns its state and whether it is new.

        Raises:
            CoordinatorError: ``upload.too_large``, ``upload.quota``, ``upload.no_room`` or ``dataset.not_yours``.
        """
        if declared.size > self._limits.largest_bytes:
            raise CoordinatorError("upload.too_large", size=declared.size, limit=self._limits.largest_bytes)
        upload = secrets.token_hex(16)
        try:
            await asyncio.to_thread(self._make_folder, upload, declared.groups_csv)
            found = await self._insert(upload, declared, who, now)
        except OSError as error:
            raise no_room(error) from error
        finally:
            if not await self._exists(upload):
                await asyncio.to_thread(self._remove_folder, upload)
        return await self.state(found, who), found == upload

    def _make_folder(self, upload: str, groups_csv: bytes | None) -> None:
        (self._home.uploads / upload).mkdir(parents=True, mode=0o700)
        if groups_csv is not None:
            write_atomically(groups_path(self._home, upload), groups_csv, mode=0o600)

    async def _insert(self, upload: str, declared: Declaration, who: Principal, now: datetime) -> str:
        async with self._database.begin() as connection:
            same = (uploads.c.owner == who.name) & (uploads.c.declared_sha256 == declared.digest)
            unended = uploads.c.job.is_(None) | jobs.c.state.not_in(queue.ENDED)
            query = select(uploads.c.id).outerjoin(jobs, uploads.c.job == jobs.c.id).where(same, unended)
            if found := await connection.scalar(query):
                await connection.execute(update(uploads).where(uploads.c.id == found).values(touched=_text(now)))
                return str(found)
            if declared.kind == "dataset":
                await owners.check(connection, declared.options["name"], who.name, who.rights)
            await self._check_room(connection, declared.size, who.name)
            await connection.execute(
                uploads.insert().values(
                    id=upload,
                    token=who.token,
                    owner=who.name,
                    declared_sha256=declared.digest,
                    kind=declared.kind,
                    size=declared.size,
                    sha256=declared.sha256,
                    part_bytes=declared.part_bytes,
                    options=declared.options,
                    created=_text(now),
                    touched=_text(now),
                )
            )
        return upload

    async def _check_room(self, connection: AsyncConnection, size: int, owner: str) -> None:
        rows = (await connection.execute(select(uploads.c.owner, uploads.c.size))).all()
        mine = [r.size for r in rows if r.owner == owner]
        limits = self._limits
        for reached, what in (
            (len(mine) >= limits.owner_open, f"{limits.owner_open} uploads of yours"),
            (len(rows) >= limits.all_open, f"{limits.all_open} uploads in all"),
            (sum(mine) + size > limits.owner_bytes, f"{limits.owner_bytes} bytes of yours"),
            (sum(r.size for r in rows) + size > limits.all_bytes, f"{limits.all_bytes} bytes in all"),
        ):
            if reached:
                raise CoordinatorError("upload.quota", what=what)
        arrived = await connection.scalar(
            select(func.sum(uploads.c.part_bytes)).select_from(upload_parts.join(uploads))
        )
        promised = max(0, sum(r.size for r in rows) - int(arrived or 0))
        if shutil.disk_usage(self._home.base).free - promised - size < limits.spare_bytes:
            raise CoordinatorError("upload.no_room")

    async def _exists(self, upload: str) -> bool:
        async with self._database.read() as connection:
            return await connection.scalar(select(uploads.c.id).where(uploads.c.id == upload)) is not None

    async def state(self, upload: str, who: Principal) -> dict[str, Any]:
        """What has arrived and what is missing.

        Raises:
            CoordinatorError: ``upload.unknown``.
        """
        async with self._database.read() as connection:
            row = await _row(connection, upload, who)
            numbers = await connection.scalars(select(upload_parts.c.number).where(upload_parts.c.upload == upload))
            arrived = set(numbers)
        count = -(-row.size // row.part_bytes)
        expires = datetime.fromisoformat(row.touched) + timedelta(hours=self._limits.abandoned_h)
        return {
            "upload": row.id,
            "kind": row.kind,
            "size": row.size,
            "part_bytes": row.part_bytes,
            "parts": count,
            "missing": [list(r) for r in ranges(n for n in range(count) if n not in arrived)],
            "received_bytes": sum(part_size(row.size, row.part_bytes, n) for n in arrived),
            "job": row.job,
            "expires": _text(expires),
        }

    async def receive(
        self, upload: str, number: int, sha256: str, blocks: AsyncIterator[bytes], who: Principal, now: datetime
    ) -> dict[str, Any]:
        """Take one part, checked while it is written; the same part once more is the same answer.

        Raises:
            CoordinatorError: ``upload.…``; the part is missing as before.
        """
        async with self._database.read() as connection:
            row = await _row(connection, upload, who)
            count = -(-row.size // row.part_bytes)
            if not 0 <= number < count:
                raise CoordinatorError("upload.part_unknown", part=number, last=count - 1)
            present = await connection.scalar(_part(upload, number, upload_parts.c.sha256))
        if present not in (None, sha256):
            raise CoordinatorError("upload.part_differs", part=number)
        wanted = part_size(row.size, row.part_bytes, number)
        if present is None:
            if row.job is not None:
                raise CoordinatorError("upload.unknown", upload=upload)
            with self._one_at_a_time(upload, number), self.streaming(who.name):
                await self._write(
                    data_path(self._home, upload, row.options), number, row.part_bytes, wanted, sha256, blocks
                )
                await self._record(upload, number, sha256, now)
        return {"upload": upload, "part": number, "sha256": sha256}

    @contextmanager
    def streaming(self, owner: str) -> Iterator[None]:
        """A body that an owner is sending: only so many at once, since each takes memory and a connection.

        Raises:
            CoordinatorError: ``upload.busy``.
        """
        if self._streams[owner] >= self._limits.owner_streams:
            raise CoordinatorError("upload.busy", limit=self._limits.owner_streams)
        self._streams[owner] += 1
        try:
            yield
        finally:
            self._streams[owner] -= 1
            self._streams += Counter()  # drops what is zero

    @contextmanager
    def _one_at_a_time(self, upload: str, number: int) -> Iterator[None]:
        if (upload, number) in self._receiving:
            raise CoordinatorError("upload.part_busy", part=number)
        self._receiving.add((upload, number))
        try:
            yield
        finally:
            self._receiving.discard((upload, number))

    async def _write(
        self, path: Path, number: int, part_bytes: int, wanted: int, sha256: str, blocks: AsyncIterator[bytes]
    ) -> None:
        digest, written, batch = hashlib.sha256(), 0, bytearray()
        try:
            descriptor = await asyncio.to_thread(os.open, path, os.O_WRONLY | os.O_CREAT, 0o600)
        except FileNotFoundError as error:
            raise CoordinatorError("upload.unknown", upload=path.parent.name) from error
        except OSError as error:
            raise no_room(error) from error
        try:
            async for block in blocks:
                if written + len(batch) + len(block) > wanted:
                    raise CoordinatorError("upload.part_size", part=number, wanted=wanted)
                batch += block
                if len(batch) >= _BATCH_BYTES:
                    await asyncio.to_thread(_put, descriptor, batch, number * part_bytes + written, digest)
                    written += len(batch)
                    batch = bytearray()
            await asyncio.to_thread(_put, descriptor, batch, number * part_bytes + written, digest)
            written += len(batch)
            if written != wanted:
                raise CoordinatorError("upload.part_size", part=number, wanted=wanted)
            if digest.hexdigest() != sha256:
                raise CoordinatorError("upload.part_digest", part=number)
            await asyncio.to_thread(os.fsync, descriptor)
        except OSError as error:
            raise no_room(error) from error
        finally:
            os.close(descriptor)

    async def _record(self, upload: str, number: int, sha256: str, now: datetime) -> None:
        try:
            async with self._database.begin() as connection:
                await connection.execute(upload_parts.insert().values(upload=upload, number=number, sha256=sha256))
                await connection.execute(update(uploads).where(uploads.c.id == upload).values(touched=_text(now)))
        except IntegrityError as error:  # the upload was cancelled, or another process took the same part
            async with self._database.read() as connection:
                present = await connection.scalar(_part(upload, number, upload_parts.c.sha256))
            if present is None:
                raise CoordinatorError("upload.unknown", upload=upload) from error
            if present != sha256:
                raise CoordinatorError("upload.part_differs", part=number) from error

    async def complete(self, upload: str, who: Principal, now: datetime) -> dict[str, Any]:
        """Queue the job that checks the whole and imports it; once more is the same answer.

        Raises:
            CoordinatorError: ``upload.incomplete``, ``job.too_many`` or ``dataset.not_yours``.
        """
        async with self._database.begin() as connection:
            row = await _row(connection, upload, who)
            if row.job is not None:
                return {"upload": upload, "job": row.job}
            arrived = await connection.scalar(select(func.count()).where(upload_parts.c.upload == upload))
            missing = -(-row.size // row.part_bytes) - int(arrived or 0)
            if missing:
                raise CoordinatorError("upload.incomplete", missing=missing)
            is_dataset = row.kind == "dataset"
            if is_dataset:
                await owners.check(connection, row.options["name"], who.name, who.rights)
            options = {**row.options, "size": row.size, "sha256": row.sha256}
            kind = "import" if is_dataset else "model_import"
            wanted = subject(row.kind, row.options)
            request = queue.Request(kind, wanted, who.name, who.rights, options, upload)
            job = await queue.enqueue(connection, request, now, self._limits.owner_jobs)
            await connection.execute(update(uploads).where(uploads.c.id == upload).values(job=job, touched=_text(now)))
        return {"upload": upload, "job": job}

    async def abort(self, upload: str, who: Principal) -> None:
        """Give an upload up; what arrived is deleted.

        Raises:
            CoordinatorError: ``upload.unknown`` or ``upload.complete``.
        """
        async with self._database.begin() as connection:
            row = await _row(connection, upload, who)
            if row.job is not None:
                raise CoordinatorError("upload.complete", job=row.job)
            await connection.execute(delete(uploads).where(uploads.c.id == upload))
        await asyncio.to_thread(self._remove_folder, upload)

    async def sweep(self, now: datetime) -> int:
        """Delete what was abandoned, whose job has ended, or what a crash left; returns how many uploads went."""
        oldest = _text(now - timedelta(hours=self._limits.abandoned_h))
        async with self._database.begin() as connection:
            ended = uploads.c.job.in_(select(jobs.c.id).where(jobs.c.state.in_(queue.ENDED)))
            abandoned = uploads.c.job.is_(None) & (uploads.c.touched < oldest)
            gone = list(await connection.scalars(select(uploads.c.id).where(ended | abandoned)))
            await connection.execute(delete(uploads).where(uploads.c.id.in_(gone)))
            known = set(await connection.scalars(select(uploads.c.id)))
        await asyncio.to_thread(self._remove_unknown, known, set(gone), now.timestamp())
        return len(gone)

    def _remove_unknown(self, known: set[str], gone: set[str], now_s: float) -> None:
        folders = list(self._home.uploads.iterdir()) if self._home.uploads.is_dir() else []
        for folder in folders:
            stranded = folder.name not in known and now_s - folder.stat().st_mtime > _STRANDED_S
            if folder.name in gone or stranded:
                self._remove_folder(folder.name)

    def _remove_folder(self, upload: str) -> None:
        shutil.rmtree(self._home.uploads / upload, ignore_errors=True)


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Rising numbers as first and last of each unbroken run."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _put(descriptor: int, data: bytearray, offset: int, digest: Any) -> None:
    digest.update(data)
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _part(upload: str, number: int, column: Any) -> Any:
    return select(column).where(upload_parts.c.upload == upload, upload_parts.c.number == number)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def no_room(error: OSError) -> Exception:
    return CoordinatorError("upload.no_room") if error.errno in (errno.ENOSPC, errno.EDQUOT) else error


async def _row(connection: AsyncConnection, upload: str, who: Principal) -> Any:
    row = (await connection.execute(select(uploads).where(uploads.c.id == upload, uploads.c.owner == who.name))).first()
    if row is None:
        raise CoordinatorError("upload.unknown", upload=upload)
    return row
