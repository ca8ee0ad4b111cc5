"""The audit trail's form: rows that each carry the hash of the one before, and heads that say how far it had come.

A row is hashed as canonical JSON, so that an edit anywhere shows. Rows that are cut off at the end leave a whole chain; they show
in heads, which the coordinator's online key signs and which nodes keep: each TUF timestamp carries the newest one. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from protocols.artifacts import canonical_json, is_sha256
from protocols.errors import ProtocolError

FORMAT: Final = "medmesh.audit-head/1"
FIRST: Final = "0" * 64  # what the first row follows
FIELD: Final = "audit"  # in a signed document
Why = Literal["edited", "missing", "unchained", "truncated", "rewritten", "no_head"]


@dataclass(frozen=True)
class Row:
    """One act as it is kept. ``detail`` is canonical JSON."""

    number: int
    at: str
    actor_kind: str
    actor: str
    act: str
    subject: str
    detail: str
    previous: str
    hash: str

    def document(self) -> dict[str, Any]:
        """The row as it is shown and exported."""
        return {
            "number": self.number,
            "at": self.at,
            "actor": {"kind": self.actor_kind, "name": self.actor},
            "act": self.act,
            "subject": self.subject,
            "detail": json.loads(self.detail),
            "previous": self.previous,
            "hash": self.hash,
        }


@dataclass(frozen=True)
class Head:
    """The trail had ``count`` rows at ``at``, and the last one's hash was ``hash``."""

    count: int
    hash: str
    at: str

    def document(self) -> dict[str, Any]:
        """As it stands in a signed document."""
        return {"count": self.count, "hash": self.hash, "at": self.at}


@dataclass(frozen=True)
class Finding:
    """What is wrong with a row, or with the rows before a head."""

    row: int
    why: Why
    detail: str = ""


def following(
    last: Head | None, at: str, actor: tuple[str, str], act: str, subject: str, detail: Mapping[str, Any]
) -> Row:
    """The row that comes after ``last``; ``actor`` is kind and name."""
    number, previous = (1, FIRST) if last is None else (last.count + 1, last.hash)
    text = canonical_json(dict(detail)).decode("utf-8")
    return Row(
        number, at, *actor, act, subject, text, previous, digest(number, at, actor, act, subject, text, previous)
    )


def digest(number: int, at: str, actor: tuple[str, str], act: str, subject: str, detail: str, previous: str) -> str:
    """A row's hash: SHA-256 of everything else in it as one JSON list."""
    return hashlib.sha256(canonical_json([number, at, *actor, act, subject, detail, previous])).hexdigest()


def row_of(document: object) -> Row:
    """An exported row.

    Raises:
        ProtocolError: ``audit.malformed``.
    """
    match document:
        case {
            "number": int(number),
            "at": str(at),
            "actor": {"kind": str(kind), "name": str(name)},
            "act": str(act),
            "subject": str(subject),
            "detail": dict(detail),
            "previous": str(previous),
            "hash": str(hash_),
        }:
            text = canonical_json(detail).decode("utf-8")
            return Row(number, at, kind, name, act, subject, text, previous, hash_)
        case _:
            raise ProtocolError("audit.malformed")


def head_of(envelope: object) -> Head | None:
    """The head in a signed document, such as a TUF timestamp, whose signature the caller checks; None: it carries none.

    Raises:
        ProtocolError: ``audit.malformed``.
    """
    match envelope:
        case {"signed": {"audit": {"count": int(count), "hash": str(hash_), "at": str(at)}}, "signatures": list()} if (
            count > 0 and is_sha256(hash_)
        ):
            return Head(count, hash_, at)
        case {"signed": dict(signed)} if FIELD not in signed:
            return None
        case _:
            raise ProtocolError("audit.malformed")


class Walk:
    """Goes through the rows in order and finds where they do not fit each other, or a head.

    After a fault it goes on from what stands there, so that one edit is one finding.
    """

    def __init__(self, heads: Iterable[Head]) -> None:
        """Prepare to compare with ``heads``, whose signatures were checked."""
        self._heads: dict[int, list[Head]] = {}
        for head in heads:
            self._heads.setdefault(head.count, []).append(head)
        self._expected, self._previous = 1, FIRST
        self.rows = 0
        self.findings: list[Finding] = []

    def row(self, row: Row) -> None:
        """Take the next row."""
        self.rows += 1
        if row.number != self._expected:
            self._find(self._expected, "missing", f"the next row is {row.number}")
        elif row.previous != self._previous:
            self._find(row.number, "unchained", "it does not follow the row before it")
        actor = (row.actor_kind, row.actor)
        if row.hash != digest(row.number, row.at, actor, row.act, row.subject, row.detail, row.previous):
            self._find(row.number, "edited", "its content does not fit its hash")
        for head in self._heads.pop(row.number, ()):
            if head.hash != row.hash:
                self._find(row.number, "rewritten", f"the head signed at {head.at} says otherwise")
        self._expected, self._previous = row.number + 1, row.hash

    def end(self) -> list[Finding]:
        """No more rows; returns everything that was found."""
        for count, heads in sorted(self._heads.items()):
            where = "missing" if count < self._expected else "truncated"
            if where == "truncated":
                self._find(self._expected, "truncated", f"the head signed at {heads[0].at} counts {count} rows")
        self._heads.clear()
        return self.findings

    def _find(self, row: int, why: Why, detail: str) -> None:
        self.findings.append(Finding(row, why, detail))


def keep(known: list[dict[str, Any]], new: dict[str, Any], most: int) -> tuple[list[dict[str, Any]], Finding | None]:
    """The heads that a node keeps after it has seen a new one, and what contradicts an earlier one.

    The first head after each row count stays; of many, the newest ``most``, and always the one with the highest count: a
    coordinator that forgets rows must not make a node forget them too.
    """
    head = head_of(new)
    if head is None:
        return known, None
    heads = [(h, e) for e in known if (h := head_of(e)) is not None]
    fault = None
    for earlier, _ in heads:
        if earlier.count == head.count and earlier.hash == head.hash:
            return known, None
        if earlier.count == head.count:
            fault = Finding(head.count, "rewritten", f"the head signed at {earlier.at} says otherwise")
        elif earlier.count > head.count and earlier.at < head.at:
            fault = Finding(head.count + 1, "truncated", f"the head signed at {earlier.at} counts {earlier.count} rows")
    heads.append((head, new))
    highest = max(heads, key=lambda pair: pair[0].count)
    newest = heads[-most:]
    return [e for _, e in (newest if highest in newest else [highest, *newest[1:]])], fault
