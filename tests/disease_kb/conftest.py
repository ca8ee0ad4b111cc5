from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from disease_kb.model import Citation, Code, Entry, Text, Urgency

SOURCE = Citation("book", "A book of medicine", "A press", 2020, "textbook")
EntryFactory = Callable[..., Entry]


def _text(field: Any, zh: str, en: str) -> Text:
    return Text(field, zh, en, cite=("book",), evidence="textbook", translation="unreviewed")


@pytest.fixture
def make_entry() -> EntryFactory:
    """A factory of complete, valid entries; keyword arguments replace fields."""

    def make(name: str = "grey-fever", zh: str = "灰热", en: str = "Grey fever", **changes: Any) -> Entry:
        fields: dict[str, Any] = {
            "id": name,
            "kind": "disease",
            "version": 1,
            "updated": date(2026, 1, 2),
            "licence": "CC-BY-4.0",
            "provenance": "Written for a test",
            "urgency": Urgency("soon", "病情可加重。", "It may worsen.", ("book",)),
            "codes": (Code("ICD-10-CM", "B54", "exact"),),
            "texts": (
                Text("name", zh, en),
                _text("definition", f"{zh}是一种虚构的疾病。", f"{en} is an invented disease."),
                _text("symptom", "面色发灰", "A grey face"),
                _text("symptom", "低热", "A low fever"),
                _text("image_sign", "灰色斑点", "Grey spots"),
                _text("red_flag", "意识模糊", "Confusion"),
                _text("management", "休息", "Rest"),
                _text("management", "两天后复查", "See again after two days"),
            ),
            "citations": (SOURCE,),
        }
        return Entry(**(fields | changes))

    return make
