"""Exports: the table opens in spreadsheets, the bundle is what fhir.resources calls valid R4B."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from protocols.results.exporting import CsvForm, FhirForm, Form, Reported
from protocols.results.fhir import Term, diagnostic_report
from protocols.results.report import LabelScore
from tests.support.reports import MADE, confirmation, report

TERMS = {
    "malaria": Term(
        "Malaria", (("ICD-10-CM", "B54", "exact"), ("ICD-10-CM", "B50.9", "narrow"), ("DOID", "DOID:12365", "exact"))
    )
}


def written(form: Form, items: list[Reported]) -> str:
    return form.head() + "".join(form.item(item) for item in items) + form.tail()


def test_the_table_has_a_line_a_result() -> None:
    first = report(1, outcome="unsure", reasons=("unfamiliar", "several_labels_fit"), novelty=None)
    items = [Reported(first, confirmation(first), ("n1",)), Reported(report(2), None, ("n2",))]
    text = written(CsvForm(("node",)), items)
    assert text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [(r["node"], r["id"], r["confirmed_label"]) for r in rows] == [
        ("n1", first.id, "uninfected"),
        ("n2", report(2).id, ""),
    ]
    assert (rows[0]["release"], rows[0]["reasons"], rows[0]["novelty"]) == (
        "malaria@1",
        "unfamiliar several_labels_fit",
        "",
    )
    assert float(rows[1]["score"]) == report(2).scores[0].score


def test_no_cell_is_a_formula() -> None:
    evil = report(1, scores=(LabelScore("=1+1", 0.5, None),), prediction_set=("@x",))
    row = next(csv.reader(io.StringIO(CsvForm(("case",)).item(Reported(evil, None, ("-2+3",))))))
    assert {"'-2+3", "'=1+1", "'@x"} <= set(row)


@pytest.mark.parametrize("outcome", ["recognised", "unsure", "not_this_kind_of_image", "poor_quality"])
@pytest.mark.parametrize("confirmed", [False, True])
def test_every_report_is_valid_and_final_only_when_confirmed(outcome: str, confirmed: bool) -> None:
    result = report(3, outcome=outcome, reasons=() if outcome == "recognised" else ("blurred",))
    word = confirmation(result, "other") if confirmed else None
    document = diagnostic_report(result, word, TERMS.get)
    DiagnosticReport.model_validate(document)
    assert document["status"] == ("final" if confirmed else "preliminary")
    assert "Research use only" in document["conclusion"] and "Research use only" in document["text"]["div"]
    finding = next(x for x in document["contained"] if x["id"] == "finding")
    assert finding["status"] == "preliminary"
    assert ("valueCodeableConcept" in finding) is (outcome == "recognised")
    assert ("conclusionCode" in document) is (confirmed or outcome == "recognised")
    assert any(x["id"] == "confirmed" for x in document["contained"]) is confirmed
    referred = {r["reference"] for r in document["result"]} | {finding["device"]["reference"]}
    assert referred == {f"#{x['id']}" for x in document["contained"]}


def test_codes_are_those_that_say_the_same() -> None:
    result = report(4)
    coding = diagnostic_report(result, None, TERMS.get)["conclusionCode"][0]
    assert coding["text"] == "Malaria (parasitized)"
    assert [(c["system"], c["code"]) for c in coding["coding"]] == [
        ("http://hl7.org/fhir/sid/icd-10-cm", "B54"),
        ("http://purl.obolibrary.org/obo/doid.owl", "DOID:12365"),
    ]
    assert diagnostic_report(result, None, lambda _: None)["conclusionCode"] == [{"text": "parasitized"}]


def keys(document: Any) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*(keys(value) for value in document.values()))
    if isinstance(document, list):
        return set[str]().union(*(keys(value) for value in document))
    return set()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_bundle_is_valid_and_names_no_patient(count: int) -> None:
    items = [Reported(report(n), confirmation(report(n)) if n % 2 else None, ("CASE-1",)) for n in range(count)]
    text = written(FhirForm(TERMS.get, MADE), items)
    bundle = json.loads(text)
    Bundle.model_validate(bundle)
    assert len(bundle["entry"]) == count if count else "entry" not in bundle
    assert "CASE-1" not in text
    assert not keys(bundle) & {"subject", "patient", "encounter", "specimen", "media", "presentedForm"}
