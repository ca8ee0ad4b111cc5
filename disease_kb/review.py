"""The review of an entry by a clinician: draft → reviewed → retired, by whom and when. Pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from disease_kb.document import FORBIDDEN
from disease_kb.errors import ConflictError, InvalidEntryError
from disease_kb.model import LIMITS, Entry, Review, ReviewStatus

# A retired entry comes back only as a draft, to be read again.
_STEPS: frozenset[tuple[ReviewStatus, ReviewStatus]] = frozenset(
    {
        ("draft", "reviewed"),
        ("reviewed", "reviewed"),
        ("reviewed", "retired"),
        ("draft", "retired"),
        ("reviewed", "draft"),
        ("retired", "draft"),
    }
)


def review(entry: Entry, status: ReviewStatus, by: str, on: date, *, translations: bool = False) -> Entry:
    """Return the entry with its review recorded; ``translations`` also marks both languages as read.

    Raises:
        InvalidEntryError: ``by`` is empty, too long or holds control characters.
        ConflictError: the step is not allowed from the entry's present status.
    """
    by = by.strip()
    if not by or len(by) > LIMITS.short or FORBIDDEN.search(by) or "\n" in by:
        raise InvalidEntryError("kb.review.name", entry=entry.id, where="review.by")
    if (entry.review.status, status) not in _STEPS:
        raise ConflictError("kb.review.step", entry=entry.id, before=entry.review.status, after=status)
    texts = entry.texts
    if translations:
        texts = tuple(replace(t, translation="reviewed") if t.translation == "unreviewed" else t for t in texts)
    recorded = Review() if status == "draft" else Review(status, by, on)
    return replace(entry, review=recorded, texts=texts)
