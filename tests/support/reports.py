"""Reports of results, made up."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from protocols.results.report import Confirmation, LabelScore, ResultReport

MADE = datetime(2026, 1, 31, 12, 34, tzinfo=UTC)


def report(number: int = 0, **changes: Any) -> ResultReport:
    """The ``number``-th of many different ones."""
    chance = random.Random(number)
    score = round(chance.uniform(0.5, 0.99), 3)
    made_up = ResultReport(
        id=f"{chance.getrandbits(128):032x}",
        made=MADE + timedelta(minutes=number),
        disease="malaria",
        model="malaria",
        version=1,
        outcome="recognised",
        reasons=(),
        scores=(
            LabelScore("parasitized", score, "malaria"),
            LabelScore("uninfected", round(1 - score, 3), "normal-blood-cell"),
        ),
        prediction_set=("parasitized",),
        novelty=round(chance.uniform(0, 2), 2),
        blur=0.4,
        sharpness=round(chance.uniform(5, 50), 1),
        exposure=0.48,
        quality_ok=True,
    )
    return replace(made_up, **changes)


def confirmation(of: ResultReport, label: str = "uninfected", revision: int = 1, **changes: Any) -> Confirmation:
    """A clinician's word on a result."""
    word_id = f"{random.Random(of.id + label + str(revision)).getrandbits(128):032x}"
    entry = {"parasitized": "malaria", "uninfected": "normal-blood-cell"}.get(label)
    return replace(Confirmation(word_id, MADE, of.id, revision, label, entry), **changes)
