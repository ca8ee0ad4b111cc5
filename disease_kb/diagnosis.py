"""The diagnosis aid Y: an entry in the form that ``recognise --json`` and the screens show."""

from __future__ import annotations

from typing import Any

from disease_kb.model import Entry, FieldName

_LISTS: dict[str, FieldName] = {
    "symptoms": "symptom",
    "image_signs": "image_sign",
    "red_flags": "red_flag",
    "differential": "differential",
    "management": "management",
    "prevention": "prevention",
}


def diagnosis_aid(entry: Entry) -> dict[str, Any]:
    """Return one ``diagnosis.entries[]`` object of the commands' contract; texts stay in reading order."""
    definitions = entry.of("definition")
    urgency = entry.urgency
    return {
        "id": entry.id,
        "kind": entry.kind,
        "name": {"zh": entry.name.zh, "en": entry.name.en},
        "codes": [{"system": code.system, "code": code.code, "match": code.match} for code in entry.codes],
        "definition": {
            "zh": "".join(text.zh for text in definitions),
            "en": " ".join(text.en for text in definitions if text.en),
        },
        **{key: _lists(entry, field) for key, field in _LISTS.items()},
        "urgency": urgency.level if urgency else "none",
        "urgency_reason": {"zh": urgency.zh if urgency else "", "en": urgency.en if urgency else ""},
        "citations": [{"title": c.title, "publisher": c.publisher, "year": c.year} for c in entry.citations],
        "review_status": entry.review.status,
    }


def _lists(entry: Entry, field: FieldName) -> dict[str, list[str]]:
    texts = entry.of(field)
    return {"zh": [text.zh for text in texts if text.zh], "en": [text.en for text in texts if text.en]}
