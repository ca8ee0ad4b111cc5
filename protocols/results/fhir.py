"""A result as a FHIR DiagnosticReport with contained Observations (R4B, equally valid as R4). Pure.

There is no subject: whose picture it was is known to the clinic alone. Preliminary until a clinician has confirmed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from protocols.notice import NOTICE
from protocols.results.report import Confirmation, LabelScore, ResultReport

# Systems as HL7 Terminology names them; an OBO ontology is named by its own IRI.
_SYSTEMS = {
    "ICD-10-CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD-10": "http://hl7.org/fhir/sid/icd-10",
    "ICD-11": "http://id.who.int/icd/release/11/mms",
    "SNOMED-CT": "http://snomed.info/sct",
    "DOID": "http://purl.obolibrary.org/obo/doid.owl",
}
_EQUIVALENT = ("exact", "close")  # broader and narrower codes would say something else than the label does
_OUTCOMES = {
    "recognised": "Recognised",
    "unsure": "Not sure: refer to a clinician",
    "not_this_kind_of_image": "Not the kind of image that this model knows",
    "poor_quality": "Poor image quality",
}


@dataclass(frozen=True)
class Term:
    """A knowledge base entry's English name, and its codes as (system, code, match)."""

    name: str
    codes: tuple[tuple[str, str, str], ...]

    @classmethod
    def of_aid(cls, entry: dict[str, Any]) -> Term:
        """From an entry in the form of ``diagnosis.entries[]``."""
        name = entry["name"]
        return cls(name["en"] or name["zh"], tuple((c["system"], c["code"], c["match"]) for c in entry["codes"]))


Terms = Callable[[str], Term | None]


def diagnostic_report(report: ResultReport, word: Confirmation | None, terms: Terms) -> dict[str, Any]:
    """The DiagnosticReport: final where the clinician's ``word`` is there, else preliminary."""
    observations = [_finding(report, terms), _quality(report)]
    if word is not None:
        observations.append(_clinicians(word, terms))
    conclusion = _conclusion(report, word, terms)
    concluded = word or (report.scores[0] if report.outcome == "recognised" else None)
    return {
        "resourceType": "DiagnosticReport",
        "id": report.id,
        "meta": {"security": [_coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HRESCH")]},
        "text": {"status": "generated", "div": _narrative(conclusion)},
        "contained": [_device(report), *observations],
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": uuid.UUID(report.id).urn}],
        "status": "preliminary" if word is None else "final",
        "category": [{"coding": [_coding("http://terminology.hl7.org/CodeSystem/v2-0074", "IMG")]}],
        "code": {"text": f"Image recognition: {report.disease}"},
        "effectiveDateTime": report.made.isoformat(),
        "issued": (word or report).made.isoformat(),
        "result": [{"reference": f"#{o['id']}"} for o in observations],
        "conclusion": conclusion,
        **({} if concluded is None else {"conclusionCode": [_concept(concluded.label, concluded.entry, terms)]}),
    }


def _device(report: ResultReport) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "id": "model",
        "deviceName": [{"name": f"MedMesh {report.release}", "type": "model-name"}],
        "version": [{"value": str(report.version)}],
        "note": [{"text": NOTICE["en"]}],
    }


def _finding(report: ResultReport, terms: Terms) -> dict[str, Any]:
    """What the model says: a value only where it is sure; the scores always."""
    outcome = _OUTCOMES[report.outcome]
    found: dict[str, Any] = {"dataAbsentReason": {"text": outcome}}
    if report.outcome == "recognised":
        found = {"valueCodeableConcept": _concept(report.scores[0].label, report.scores[0].entry, terms)}
    notes = [f"Not excluded: {', '.join(report.prediction_set) or 'no label fits'}."]
    notes += [f"Reasons: {', '.join(report.reasons)}."] if report.reasons else []
    return {
        **_observation("finding", "Finding by image recognition", report.made.isoformat(), "preliminary"),
        **found,
        "device": {"reference": "#model"},
        "note": [{"text": " ".join([f"{outcome}.", *notes])}],
        "component": [_score(x, terms) for x in report.scores],
    }


def _quality(report: ResultReport) -> dict[str, Any]:
    measures = {"blur": report.blur, "sharpness": report.sharpness, "exposure": report.exposure}
    if report.novelty is not None:
        measures["novelty"] = report.novelty
    return {
        **_observation("quality", "Image quality", report.made.isoformat(), "final"),
        "valueBoolean": report.quality_ok,
        "device": {"reference": "#model"},
        "component": [{"code": {"text": name}, "valueQuantity": _plain(value)} for name, value in measures.items()],
    }


def _clinicians(word: Confirmation, terms: Terms) -> dict[str, Any]:
    return {
        **_observation("confirmed", "Finding by the clinician", word.made.isoformat(), "final"),
        "valueCodeableConcept": _concept(word.label, word.entry, terms),
    }


def _observation(name: str, code: str, made: str, status: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": status,
        "code": {"text": code},
        "effectiveDateTime": made,
    }


def _score(score: LabelScore, terms: Terms) -> dict[str, Any]:
    return {"code": _concept(score.label, score.entry, terms), "valueQuantity": _plain(score.score)}


def _plain(value: float) -> dict[str, Any]:
    return {"value": value, "system": "http://unitsofmeasure.org", "code": "1"}


def _concept(label: str, entry: str | None, terms: Terms) -> dict[str, Any]:
    term = None if entry is None else terms(entry)
    if term is None:
        return {"text": label}
    codes = [_coding(_SYSTEMS[s], code) for s, code, match in term.codes if s in _SYSTEMS and match in _EQUIVALENT]
    return {**({"coding": codes} if codes else {}), "text": f"{term.name} ({label})"}


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}


def _conclusion(report: ResultReport, word: Confirmation | None, terms: Terms) -> str:
    best = report.scores[0]
    says = f"{_OUTCOMES[report.outcome]}: {_concept(best.label, best.entry, terms)['text']}, score {best.score:.3f}"
    if report.outcome != "recognised":
        says = _OUTCOMES[report.outcome]
    if word is not None:
        says += f". Confirmed by the clinician: {_concept(word.label, word.entry, terms)['text']}"
    return f"{says}. {NOTICE['en']}"


def _narrative(conclusion: str) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(conclusion)}</p></div>'
