from __future__ import annotations

import json

from disease_kb.diagnosis import diagnosis_aid
from disease_kb.model import Review
from disease_kb.seeding import seed_entries
from tests.disease_kb.conftest import EntryFactory


def test_the_aid_has_the_contracts_form(make_entry: EntryFactory) -> None:
    assert diagnosis_aid(make_entry(review=Review("reviewed", "A"))) == {
        "id": "grey-fever",
        "kind": "disease",
        "name": {"zh": "灰热", "en": "Grey fever"},
        "codes": [{"system": "ICD-10-CM", "code": "B54", "match": "exact"}],
        "definition": {"zh": "灰热是一种虚构的疾病。", "en": "Grey fever is an invented disease."},
        "symptoms": {"zh": ["面色发灰", "低热"], "en": ["A grey face", "A low fever"]},
        "image_signs": {"zh": ["灰色斑点"], "en": ["Grey spots"]},
        "red_flags": {"zh": ["意识模糊"], "en": ["Confusion"]},
        "differential": {"zh": [], "en": []},
        "management": {"zh": ["休息", "两天后复查"], "en": ["Rest", "See again after two days"]},
        "prevention": {"zh": [], "en": []},
        "urgency": "soon",
        "urgency_reason": {"zh": "病情可加重。", "en": "It may worsen."},
        "citations": [{"title": "A book of medicine", "publisher": "A press", "year": 2020}],
        "review_status": "reviewed",
    }


def test_an_entry_without_urgency_says_none(make_entry: EntryFactory) -> None:
    aid = diagnosis_aid(make_entry(kind="normal", urgency=None))
    assert (aid["urgency"], aid["urgency_reason"]) == ("none", {"zh": "", "en": ""})


def test_every_packaged_entry_gives_a_document() -> None:
    for entry in seed_entries():
        aid = json.loads(json.dumps(diagnosis_aid(entry)))
        assert all(len(aid[key]["zh"]) == len(aid[key]["en"]) for key in ("symptoms", "red_flags", "management"))
