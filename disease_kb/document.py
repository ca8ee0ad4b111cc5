"""Between entries and plain documents: the dicts that TOML, SQLite and the replica share.

``from_document`` is the only door into the model: whatever the source, an ``Entry`` that exists keeps the
limits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar, get_args

from disease_kb.errors import InvalidEntryError
from disease_kb.model import (
    FIELDS,
    KINDS,
    LIMITS,
    Citation,
    CitationKind,
    Code,
    CodeSystem,
    Entry,
    Evidence,
    Grade,
    LabelMapping,
    Register,
    Review,
    ReviewStatus,
    Text,
    Translation,
    Urgency,
    UrgencyLevel,
)

SLUG = re.compile(r"[a-z0-9]+(?:-+[a-z0-9]+)*")
# C0 without tab and newline, C1, lone surrogates, bidirectional overrides and isolates, noncharacters.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)

T = TypeVar("T")


def to_document(entry: Entry) -> dict[str, Any]:
    """Return the entry as a plain document in canonical key order; what equals its default is left out."""
    document: dict[str, Any] = {
        "id": entry.id,
        "kind": entry.kind,
        "version": entry.version,
        "updated": entry.updated.isoformat(),
        "licence": entry.licence,
        "provenance": entry.provenance,
    }
    if entry.external:
        document["external"] = True
    if entry.parents:
        document["parents"] = list(entry.parents)
    if entry.modality:
        document["modality"] = list(entry.modality)
    on = entry.review.on.isoformat() if entry.review.on else ""
    document["review"] = {"status": entry.review.status, "by": entry.review.by, "on": on}
    if entry.urgency:
        document["urgency"] = _filled(entry.urgency, ("level", "zh", "en", "cite"))
    if entry.codes:
        document["codes"] = [_filled(code, ("system", "code", "match")) for code in entry.codes]
    if entry.labels:
        document["labels"] = [_filled(label, ("label", "match", "context")) for label in entry.labels]
    columns = ("field", "register", "zh", "en", "cite", "evidence", "translation")
    document["texts"] = [_filled(text, columns) for text in entry.texts]
    if entry.citations:
        document["citations"] = {
            source.key: _filled(source, ("title", "publisher", "year", "kind")) for source in entry.citations
        }
    return document


def canonical_json(entry: Entry) -> str:
    """Return the one JSON text of an entry: sorted keys, no spaces, Unicode unescaped."""
    return json.dumps(to_document(entry), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(entry: Entry) -> str:
    """Return the SHA-256 of the canonical JSON, in hex: equal exactly when the entries are."""
    return hashlib.sha256(canonical_json(entry).encode()).hexdigest()


def from_document(document: Mapping[str, Any]) -> Entry:
    """Build an entry from a plain document, strictly.

    Raises:
        InvalidEntryError: a key is unknown, missing, of the wrong type, over its limit or holds forbidden characters.
    """
    name = document.get("id")
    where = name if isinstance(name, str) and len(name) <= LIMITS.identifier else "?"
    root = _Table(where, "", document)
    entry = Entry(
        id=root.slug("id"),
        kind=root.choice("kind", KINDS),
        version=root.number("version", 1, 1_000_000_000),
        updated=root.day("updated") or root.refuse("kb.field.missing", "updated"),
        licence=root.text("licence", LIMITS.short),
        provenance=root.text("provenance", LIMITS.short),
        external=root.flag("external"),
        parents=root.strings("parents", LIMITS.parents, LIMITS.identifier),
        modality=root.strings("modality", LIMITS.modalities, LIMITS.short),
        review=_review(root.table("review")),
        urgency=_urgency(root.table("urgency")) if "urgency" in document else None,
        codes=tuple(_code(t) for t in root.tables("codes", LIMITS.codes)),
        labels=tuple(_label(t) for t in root.tables("labels", LIMITS.labels)),
        texts=tuple(_text(t) for t in root.tables("texts", LIMITS.texts)),
        citations=_citations(root.table("citations")),
    )
    root.done()
    if len(entry.of("name")) != 1:
        root.refuse("kb.name.count", "texts", count=len(entry.of("name")))
    size = len(canonical_json(entry).encode())
    if size > LIMITS.document_bytes:
        root.refuse("kb.field.too_long", "document", size=size, limit=LIMITS.document_bytes)
    return entry


def _filled(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    pairs = ((name, getattr(value, name)) for name in names)
    return {name: list(item) if isinstance(item, tuple) else item for name, item in pairs if item not in ("", ())}


def _review(table: _Table) -> Review:
    review = Review(
        status=table.choice("status", get_args(ReviewStatus), "draft"),
        by=table.text("by", LIMITS.short, ""),
        on=table.day("on"),
    )
    table.done()
    return review


def _urgency(table: _Table) -> Urgency:
    urgency = Urgency(
        level=table.choice("level", get_args(UrgencyLevel)),
        zh=table.text("zh", LIMITS.text, ""),
        en=table.text("en", LIMITS.text, ""),
        cite=table.strings("cite", LIMITS.citations, LIMITS.identifier),
    )
    table.done()
    return urgency


def _code(table: _Table) -> Code:
    code = Code(
        system=table.choice("system", get_args(CodeSystem)),
        code=table.text("code", LIMITS.identifier),
        match=table.choice("match", get_args(Grade)),
    )
    table.done()
    return code


def _label(table: _Table) -> LabelMapping:
    label = LabelMapping(
        label=table.text("label", LIMITS.short),
        match=table.choice("match", get_args(Grade)),
        context=table.text("context", LIMITS.identifier, ""),
    )
    table.done()
    return label


def _text(table: _Table) -> Text:
    field = table.choice("field", FIELDS)
    limit = LIMITS.name if field in ("name", "synonym") else LIMITS.text
    text = Text(
        field=field,
        zh=table.text("zh", limit, ""),
        en=table.text("en", limit, ""),
        register=table.choice("register", get_args(Register), ""),
        cite=table.strings("cite", LIMITS.citations, LIMITS.identifier),
        evidence=table.choice("evidence", get_args(Evidence), ""),
        translation=table.choice("translation", get_args(Translation), ""),
    )
    table.done()
    if not text.zh and not text.en:
        table.refuse("kb.field.missing", "zh")
    if text.register and text.field != "synonym":
        table.refuse("kb.field.unknown", "register")
    return text


def _citations(table: _Table) -> tuple[Citation, ...]:
    keys = sorted(table.document)
    if len(keys) > LIMITS.citations:
        table.refuse("kb.field.too_many", "", count=len(keys), limit=LIMITS.citations)
    return tuple(_citation(table, key) for key in keys)


def _citation(parent: _Table, key: str) -> Citation:
    parent.checked(key, key, LIMITS.identifier)
    table = parent.table(key)
    source = Citation(
        key=key,
        title=table.text("title", LIMITS.short),
        publisher=table.text("publisher", LIMITS.short),
        year=table.number("year", 1500, 2200),
        kind=table.choice("kind", get_args(CitationKind)),
    )
    table.done()
    return source


@dataclass
class _Table:
    """One table of a document under strict reading; remembers which keys were asked for."""

    entry: str
    path: str
    document: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.seen: set[str] = set()

    def refuse(self, code: str, key: str, **details: Any) -> Any:
        where = f"{self.path}.{key}".strip(".")
        raise InvalidEntryError(code, entry=self.entry, where=where[: LIMITS.short], **details)

    def take(self, key: str, default: Any, kind: type[T] | tuple[type[T], ...]) -> Any:
        self.seen.add(key)
        value = self.document.get(key, default)
        if value is None:
            self.refuse("kb.field.missing", key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse("kb.field.type", key, found=type(value).__name__)
        return value

    def checked(self, key: str, value: str, limit: int) -> str:
        """Return text that is within its limit, free of control characters and not only white space."""
        if len(value) > limit:
            self.refuse("kb.field.too_long", key, size=len(value), limit=limit)
        if bad := FORBIDDEN.search(value):
            self.refuse("kb.field.control_character", key, character=f"U+{ord(bad.group()):04X}")
        if value and not value.strip():
            self.refuse("kb.field.missing", key)
        return value

    def text(self, key: str, limit: int, default: str | None = None) -> str:
        value = self.checked(key, self.take(key, default, str), limit)
        return value or (self.refuse("kb.field.missing", key) if default is None else "")

    def slug(self, key: str) -> str:
        value = self.text(key, LIMITS.identifier)
        return value if SLUG.fullmatch(value) else str(self.refuse("kb.id.form", key, value=value))

    def choice(self, key: str, allowed: tuple[T, ...], default: T | None = None) -> T:
        value: T = self.take(key, default, str)
        if value not in allowed:
            choices = ", ".join(str(a) for a in allowed if a)
            self.refuse("kb.field.choice", key, value=str(value)[:40], choices=choices)
        return value

    def number(self, key: str, low: int, high: int) -> int:
        value: int = self.take(key, None, int)
        if not low <= value <= high:
            self.refuse("kb.field.range", key, value=value, low=low, high=high)
        return value

    def flag(self, key: str) -> bool:
        return bool(self.take(key, False, bool))

    def day(self, key: str) -> date | None:
        value = self.take(key, "", (str, date))
        if isinstance(value, datetime):
            self.refuse("kb.field.date", key, value=value.isoformat())
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value) if value else None
        except ValueError:
            return self.refuse("kb.field.date", key, value=value[:40])  # type: ignore[no-any-return]

    def strings(self, key: str, count: int, limit: int) -> tuple[str, ...]:
        values = self.take(key, [], list)
        if len(values) > count:
            self.refuse("kb.field.too_many", key, count=len(values), limit=count)
        for value in values:
            if not isinstance(value, str) or not value:
                self.refuse("kb.field.type", key, found=type(value).__name__)
        return tuple(self.checked(key, value, limit) for value in values)

    def table(self, key: str) -> _Table:
        path = f"{self.path}.{key}".strip(".")
        return _Table(self.entry, path, self.take(key, {}, dict))

    def tables(self, key: str, count: int) -> list[_Table]:
        values = self.take(key, [], list)
        if len(values) > count:
            self.refuse("kb.field.too_many", key, count=len(values), limit=count)
        for value in values:
            if not isinstance(value, dict):
                self.refuse("kb.field.type", key, found=type(value).__name__)
        return [_Table(self.entry, f"{self.path}.{key}[{i}]".strip("."), value) for i, value in enumerate(values)]

    def done(self) -> None:
        """Refuse keys that nobody asked for: a misspelt key must not lose its text."""
        for key in self.document:
            if key not in self.seen:
                self.refuse("kb.field.unknown", str(key)[:40])
