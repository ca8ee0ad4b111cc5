"""The history of results on this node: saved, looked up, confirmed, forgotten."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from edge_node.errors import EdgeError
from edge_node.outbox.pictures import Pictures
from edge_node.outbox.record import new_id, open_brief, open_result, open_word, seal_result, seal_word
from edge_node.outbox.seal import Seal, UnsealError
from edge_node.outbox.store import OutboxStore, StoredRecord
from protocols.clock import Clock
from protocols.results.report import OTHER, Confirmation

State = Literal["queued", "sent", "refused", "elsewhere"]
_PAGE = 200
_LEAST_PREFIX = 4


@dataclass(frozen=True)
class Remembered:
    """A result in the history.

    Attributes:
        id: its id.
        made: when, UTC.
        result: as ``recognise`` showed it; in lists without its long parts.
        word: the clinician's last word on it.
        state: how far the last of its records has come: waiting for the coordinator, there, turned down, or waiting for
            another coordinator.
    """

    id: str
    made: datetime
    result: dict[str, Any]
    word: Confirmation | None
    state: State


class Tally(Protocol):
    """Who counts what is saved, for heartbeats; it never fails."""

    async def saved(self, results: Sequence[dict[str, Any]]) -> None:
        """Results are on the disk."""
        ...

    async def confirmed(self, result: dict[str, Any], before: str | None, label: str) -> None:
        """The clinician's word on one is on the disk; ``before``: the one that it replaces."""
        ...


@dataclass
class Listed:
    """Results, the newest first, and how many looked at could not be read."""

    results: list[Remembered] = field(default_factory=list)
    unreadable: int = 0


class History:
    """The history, opened with its key."""

    def __init__(
        self,
        store: OutboxStore,
        seal: Seal,
        coordinator: str | None,
        most_waiting: int,
        most_picture_bytes: int,
        clock: Clock,
        tally: Tally | None = None,
    ) -> None:
        """Args: coordinator: whose results these are; most_waiting: unsent records at which saving is refused;

        most_picture_bytes: see ``Pictures``; tally: who counts.
        """
        self.pictures = Pictures(store.file, seal, most_picture_bytes)
        self._store = store
        self._seal = seal
        self._coordinator = coordinator
        self._most_waiting = most_waiting
        self._clock = clock
        self._tally = tally

    async def save(self, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep results and queue their reports; returns them, each with its ``id``, once they are on the disk.

        Raises:
            EdgeError: ``outbox.full`` or ``storage.*``; none of them is kept.
        """
        named = [{"id": new_id(), **result} for result in results]
        made = self._now()
        records = [seal_result(result, made, self._seal) for result in named]
        await self._store.add(records, self._coordinator, self._most_waiting)
        if self._tally is not None:
            await self._tally.saved(named)
        return named

    async def confirm(self, reference: str, label: str) -> Remembered:
        """Keep the clinician's word on a result and queue it; a later word replaces an earlier one.

        Raises:
            EdgeError: ``outbox.unknown_result``, ``outbox.ambiguous_result``, ``outbox.label_unknown`` or as ``save``.
        """
        record = await self._found(reference)
        result = self._brief(record)
        entry = _entry_of(result, label)
        made = self._now()
        former = [open_word(word, self._seal).label for word in await self._store.confirmations([record.id])]
        await self._store.add_confirmation(
            record.id,
            lambda revision: seal_word(label, entry, record.id, revision, made, self._seal),
            self._most_waiting,
        )
        if self._tally is not None:
            await self._tally.confirmed(result, former[0] if former else None, label)
        return await self.show(record.id)

    async def show(self, reference: str) -> Remembered:
        """One result, whole.

        Raises:
            EdgeError: ``outbox.unknown_result`` or ``outbox.ambiguous_result``.
        """
        record = await self._found(reference)
        words = {w.result: w for w in await self._store.confirmations([record.id])}
        try:
            return self._remembered(record, open_result(record, self._seal), words.get(record.id))
        except UnsealError as error:
            raise EdgeError("outbox.damaged", path=self._store.path) from error

    async def search(self, text: str | None, disease: str | None, most: int) -> Listed:
        """The newest results, those only that hold ``text`` in their case, picture's name, disease or labels."""
        listed = Listed()
        wanted = _folded(text or "")
        async for item in self.every():
            if item is None:
                listed.unreadable += 1
            elif disease in (None, item.result["disease"]) and (not wanted or wanted in _folded(_searchable(item))):
                listed.results.append(item)
            if len(listed.results) == most:
                break
        return listed

    async def every(self) -> AsyncIterator[Remembered | None]:
        """All results, the newest first; None for one that cannot be read."""
        before: int | None = None
        while page := await self._store.results(before, _PAGE):
            words = {w.result: w for w in await self._store.confirmations([r.id for r in page])}
            for record in page:
                try:
                    yield self._remembered(record, open_brief(record, self._seal), words.get(record.id))
                except UnsealError:
                    yield None
            before = page[-1].number

    async def forget(self, results: Sequence[str]) -> None:
        """Delete results and the words on them from this node, sent or not."""
        await self._store.forget(results)

    async def chosen(self, reference: str | None, older_than_days: int | None) -> tuple[list[str], int]:
        """Which results to forget, and how many records of them no coordinator has.

        Raises:
            EdgeError: ``outbox.forget_what``, ``outbox.unknown_result`` or ``outbox.ambiguous_result``.
        """
        if reference is not None and older_than_days is None:
            ids = [(await self._found(reference)).id]
        elif reference is None and older_than_days is not None:
            ids = await self._store.made_before(self._now() - timedelta(days=older_than_days))
        else:
            raise EdgeError("outbox.forget_what")
        unsent = [await self._store.unsent(ids[start : start + _PAGE]) for start in range(0, len(ids), _PAGE)]
        return ids, sum(unsent)

    async def _found(self, reference: str) -> StoredRecord:
        prefix = reference.strip().lower()
        ids = await self._store.ids(prefix) if len(prefix) >= _LEAST_PREFIX else []
        if len(ids) > 1:
            raise EdgeError("outbox.ambiguous_result", reference=prefix)
        record = await self._store.record(ids[0]) if ids else None
        if record is None:
            raise EdgeError("outbox.unknown_result", reference=prefix)
        return record

    def _brief(self, record: StoredRecord) -> dict[str, Any]:
        try:
            return open_brief(record, self._seal)
        except UnsealError as error:
            raise EdgeError("outbox.damaged", path=self._store.path) from error

    def _remembered(self, record: StoredRecord, result: dict[str, Any], last: StoredRecord | None) -> Remembered:
        return Remembered(
            record.id,
            record.made,
            result,
            None if last is None else open_word(last, self._seal),
            self._state([record] if last is None else [record, last]),
        )

    def _state(self, records: Sequence[StoredRecord]) -> State:
        waiting = [r for r in records if r.acknowledged is None]
        if not waiting:
            return "sent"
        if any(r.refused is not None for r in waiting):
            return "refused"
        ours = (None, self._coordinator)
        return "queued" if all(r.coordinator in ours for r in waiting) else "elsewhere"

    def _now(self) -> datetime:
        return self._clock().replace(microsecond=0)


def _entry_of(result: dict[str, Any], label: str) -> str | None:
    """The entry of ``label``, which must be one of the model's or "other": free text could say who the patient is."""
    entries: dict[str, str | None] = {x["label"]: x["entry"] for x in result["labels"]}
    entries.setdefault(OTHER, None)
    if label not in entries:
        release = f"{result['release']['model']}@{result['release']['version']}"
        raise EdgeError("outbox.label_unknown", release=release, known=", ".join(entries))
    return entries[label]


def _searchable(item: Remembered) -> str:
    result = item.result
    texts = [item.id, result.get("case", ""), result["image"], result["disease"], item.word.label if item.word else ""]
    in_set = [x for x in result["labels"] if x["label"] in result["prediction_set"]]
    texts += [text for x in in_set or result["labels"][:1] for text in (x["label"], *x["name"].values())]
    return "\n".join(texts)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
