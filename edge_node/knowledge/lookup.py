"""Asking the knowledge base for the diagnosis aid of some entries, at the first source that answers in time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_node.errors import EdgeError

_MAX_TEXT = 20_000
_TEXTS = ("name", "definition", "urgency_reason")
_LISTS = ("symptoms", "image_signs", "red_flags", "differential", "management", "prevention")


@dataclass(frozen=True)
class Answer:
    """Diagnosis aids by entry id, all from one version of one source (``coordinator``, ``replica`` or ``none``)."""

    source: str = "none"
    kb_version: str | None = None
    entries: Mapping[str, dict[str, Any]] = field(default_factory=dict)


class KnowledgeSource(Protocol):
    """A knowledge base, near or far."""

    async def lookup(self, ids: Collection[str]) -> Answer | None:
        """The entries that it has of ``ids``; None where there is no knowledge base to ask.

        Raises:
            EdgeError: it does not answer.
        """
        ...


async def consult(sources: Sequence[tuple[KnowledgeSource, float | None]], ids: Collection[str]) -> Answer:
    """Ask the sources in turn, each for at most its seconds (None: as long as it takes)."""
    for source, timeout_s in sources:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await source.lookup(ids)
        except (TimeoutError, EdgeError):
            continue
        if answer is not None:
            return answer
    return Answer()


def is_diagnosis_aid(document: Any, entry_id: str) -> bool:
    """Whether what came over the network has the shape that screens and scripts rely on."""
    if not isinstance(document, dict) or document.get("id") != entry_id:
        return False
    texts = all(_languages(document.get(key), _is_text) for key in _TEXTS)
    lists = all(_languages(document.get(key), _is_texts) for key in _LISTS)
    plain = all(_is_text(document.get(key)) for key in ("urgency", "review_status", "kind"))
    return texts and lists and plain and all(isinstance(document.get(k), list) for k in ("codes", "citations"))


def _languages(value: Any, fits: Any) -> bool:
    return isinstance(value, dict) and all(fits(value.get(language)) for language in ("zh", "en"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and value.replace("\n", "").isprintable()


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(text) for text in value)
