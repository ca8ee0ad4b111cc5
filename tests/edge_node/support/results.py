"""Results as ``recognise --json`` prints them, made up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from edge_node.bootstrap import Edge

CASE, FILE = "CASE-王-4711", "IMG_20260131_secret.jpg"


def result(number: int = 0, disease: str = "malaria", **changes: Any) -> dict[str, Any]:
    """The ``number``-th of many different ones."""
    chance = random.Random(number)
    score = round(chance.uniform(0.5, 0.99), 4)
    return {
        "image": f"/photos/{number}-{FILE}",
        "sha256": chance.randbytes(32).hex(),
        "case": f"{CASE}-{number}",
        "disease": disease,
        "release": {"model": disease, "version": 1},
        "labels": [
            {
                "label": "parasitized",
                "name": {"zh": "疟疾", "en": "Malaria"},
                "kind": "disease",
                "entry": "malaria",
                "score": score,
            },
            {
                "label": "uninfected",
                "name": {"zh": "正常血细胞", "en": "Normal blood cell"},
                "kind": "normal",
                "entry": "normal-blood-cell",
                "score": round(1 - score, 4),
            },
        ],
        "prediction_set": ["parasitized"],
        "coverage": 0.9,
        "outcome": "recognised",
        "reasons": [],
        "novelty": round(chance.uniform(0, 2), 3),
        "quality": {"blur": 0.1, "sharpness": round(chance.uniform(5, 50), 2), "exposure": 0.48, "ok": True},
        "diagnosis": {"source": "replica", "kb_version": "kb-1", "entries": [], "unmapped": []},
        "timing_ms": {"prepare": 10.0, "infer": 30.0, "total": 40.0},
        "notice": "research use only",
    } | changes


def keep(home: Path, *results: dict[str, Any]) -> list[str]:
    """Save results in the history of a node's home; their ids."""

    async def save() -> list[str]:
        async with Edge(home).history(create=True) as history:
            return [kept["id"] for kept in await history.save(results)]

    return asyncio.run(save())
