"""What differs between two sets of entries, and what an import may do about it. Pure decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from disease_kb.document import to_document
from disease_kb.errors import InvalidEntryError
from disease_kb.model import Entry

MAX_SHOWN = 200  # characters of a value in a diff


@dataclass(frozen=True, slots=True)
class Change:
    """One changed value: where it stands, before and after (empty: absent)."""

    where: str
    before: str
    after: str

    def document(self) -> dict[str, str]:
        """Return the change as ``--json`` prints it."""
        return {"where": self.where, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class EntryChange:
    """How one entry differs; ``reason`` says why it is a conflict, else it is empty."""

    id: str
    kind: Literal["added", "updated", "removed", "conflict"]
    changes: tuple[Change, ...] = ()
    reason: Literal["", "version_not_raised", "review_lost"] = ""

    def document(self) -> dict[str, Any]:
        """Return the change as ``--json`` prints it."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"id": self.id, "change": self.kind, **reason, "changes": [c.document() for c in self.changes]}


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do: ``write`` goes in; ``conflicts`` wait for a person's word."""

    write: tuple[Entry, ...]
    changes: tuple[EntryChange, ...]
    unchanged: tuple[str, ...]
    conflicts: tuple[EntryChange, ...]


def by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return entries by their id.

    Raises:
        InvalidEntryError: an id stands twice.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.id in found:
            raise InvalidEntryError("kb.id.duplicate", entry=entry.id, where="id")
        found[entry.id] = entry
    return found


def compare(before: Entry, after: Entry) -> tuple[Change, ...]:
    """Return every value that differs between two versions of an entry."""
    old, new = _flat(to_document(before)), _flat(to_document(after))
    places = dict.fromkeys([*old, *new])
    return tuple(
        Change(place, old.get(place, "")[:MAX_SHOWN], new.get(place, "")[:MAX_SHOWN])
        for place in places
        if old.get(place) != new.get(place)
    )


def diff(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[EntryChange]:
    """Return how two sets of entries differ, by id."""
    found: list[EntryChange] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(EntryChange(name, "added"))
        elif name not in after:
            found.append(EntryChange(name, "removed"))
        elif before[name] != after[name]:
            found.append(EntryChange(name, "updated", compare(before[name], after[name])))
    return found


def plan_import(present: Mapping[str, Entry], incoming: Iterable[Entry], replace: Collection[str] = ()) -> ImportPlan:
    """Decide what an import writes. Nothing present changes unless its version rises or ``replace`` names it.

    Raises:
        InvalidEntryError: an id stands twice in ``incoming``.
    """
    write: list[Entry] = []
    changes: list[EntryChange] = []
    unchanged: list[str] = []
    conflicts: list[EntryChange] = []
    for name, entry in sorted(by_id(incoming).items()):
        old = present.get(name)
        if old == entry:
            unchanged.append(name)
            continue
        if old is None:
            changes.append(EntryChange(name, "added"))
        else:
            changed = compare(old, entry)
            reason = _conflict(old, entry)
            if reason and name not in replace:
                conflicts.append(EntryChange(name, "conflict", changed, reason))
                continue
            changes.append(EntryChange(name, "updated", changed))
        write.append(entry)
    return ImportPlan(tuple(write), tuple(changes), tuple(unchanged), tuple(conflicts))


def _conflict(old: Entry, new: Entry) -> Literal["", "version_not_raised", "review_lost"]:
    if old.review.status != "draft" and new.review != old.review:
        return "review_lost"
    return "" if new.version > old.version else "version_not_raised"


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Flatten a document; texts are placed by field and number, so that an inserted one shifts only its own field."""
    if isinstance(value, dict):
        items = [(f"{path}.{key}".strip("."), item) for key, item in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        counts: dict[str, int] = {}
        items = []
        for item in value:
            kind = str(item.get("field", ""))
            counts[kind] = counts.get(kind, 0) + 1
            items.append((f"{path}.{kind}[{counts[kind]}]".replace(".[", "["), item))
    elif isinstance(value, list):
        return {path: ", ".join(str(item) for item in value)}
    else:
        return {path: str(value)}
    flat: dict[str, str] = {}
    for place, item in items:
        flat |= _flat(item, place)
    return flat
