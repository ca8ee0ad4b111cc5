"""Reading results and knowledge base entries in the form that the commands print into the app's own values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_node.ui.values import DiseasePage, Finding, Lines, Score


def finding(document: Mapping[str, Any]) -> Finding:
    """One element of ``results`` of ``recognise --json``."""
    release, diagnosis, later = document["release"], document["diagnosis"], document.get("instead_of")
    in_set = set(document["prediction_set"])
    return Finding(
        disease=document["disease"],
        release=f"{release['model']}@{release['version']}",
        outcome=document["outcome"],
        reasons=tuple(document["reasons"]),
        scores=tuple(
            Score(x["label"], x["name"], x["kind"], x["entry"], float(x["score"]), x["label"] in in_set)
            for x in document["labels"]
        ),
        coverage=float(document["coverage"]),
        pages=tuple(disease_page(entry) for entry in diagnosis["entries"]),
        knowledge_version=diagnosis["kb_version"],
        milliseconds=float(document["timing_ms"]["total"]),
        document=document,
        instead_of=None if later is None else later["release"],
    )


def disease_page(entry: Mapping[str, Any]) -> DiseasePage:
    """One element of ``diagnosis.entries``."""

    def lines(key: str) -> Lines:
        return {"zh": tuple(entry[key]["zh"]), "en": tuple(entry[key]["en"])}

    return DiseasePage(
        id=entry["id"],
        kind=entry["kind"],
        name=entry["name"],
        definition=entry["definition"],
        urgency=entry["urgency"],
        urgency_reason=entry["urgency_reason"],
        symptoms=lines("symptoms"),
        image_signs=lines("image_signs"),
        red_flags=lines("red_flags"),
        differential=lines("differential"),
        management=lines("management"),
        prevention=lines("prevention"),
        codes=tuple(f"{code['system']} {code['code'].removeprefix('DOID:')}" for code in entry["codes"]),
        citations=tuple(f"{c['title']}. {c['publisher']}, {c['year']}." for c in entry["citations"]),
        review_status=entry["review_status"],
    )
