from __future__ import annotations

import pytest

from disease_kb.labels import Catalogue, terms_of
from disease_kb.model import Code, LabelMapping, Review, Text
from disease_kb.seeding import seed_entries
from tests.disease_kb.conftest import EntryFactory


@pytest.fixture
def catalogue(make_entry: EntryFactory) -> Catalogue:
    def with_labels(name: str, zh: str, en: str, *labels: LabelMapping, **changes: object) -> list[object]:
        return terms_of(make_entry(name, zh, en, labels=labels, **changes))  # type: ignore[return-value]

    nhl = make_entry("lymphoma", "非霍奇金淋巴瘤", "Non-Hodgkin lymphoma", codes=())
    nhl = make_entry("lymphoma", codes=(), texts=(*nhl.texts, Text("synonym", en="NHL", register="abbreviation")))
    terms = [
        *with_labels("malaria", "疟疾", "Malaria", LabelMapping("parasitized", "exact", "malaria")),
        *with_labels("glioma", "胶质瘤", "Glioma", codes=(Code("DOID", "DOID:3070", "exact"),)),
        *with_labels(
            "breast-cancer", "乳腺癌", "Breast cancer", LabelMapping("malignant", "broad", "breast"), codes=()
        ),
        *with_labels("benign-keratosis", "良性角化病", "Benign keratosis", LabelMapping("bkl", "exact"), codes=()),
        *with_labels("wrong", "错病", "Wrong disease", LabelMapping("healthy", "exact"), codes=()),
        *with_labels(
            "normal-blood-cell",
            "正常血细胞",
            "Normal blood cell",
            LabelMapping("uninfected", "exact", "malaria"),
            LabelMapping("normal", "exact", "malaria"),
            kind="normal",
            codes=(),
        ),
        *with_labels("old", "旧病", "Old disease", LabelMapping("parasitized", "exact"), review=Review("retired", "x")),
        *terms_of(nhl),
    ]
    return Catalogue(terms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "slug", "entry", "how", "grade"),
    [
        ("Parasitized", "malaria", "malaria", "label", "exact"),
        ("parasitized", "malaria-cells", "malaria", "label", "exact"),
        ("uninfected", "malaria", "normal-blood-cell", "label", "exact"),
        ("glioma", "brain-mri", "glioma", "name", "exact"),
        ("胶质瘤", "brain-mri", "glioma", "name", "exact"),
        ("DOID:3070", "brain-mri", "glioma", "code", "exact"),
        ("NHL", "blood", "lymphoma", "synonym", "exact"),
        ("non_hodgkin_lymphoma", "blood", "lymphoma", "name", "exact"),
        ("benign_keratosis", "skin", "benign-keratosis", "name", "exact"),
        ("BKL", "skin", "benign-keratosis", "label", "exact"),
        ("malignant", "breast", "breast-cancer", "label", "broad"),
    ],
)
def test_a_label_finds_its_entry_with_certainty(
    catalogue: Catalogue, label: str, slug: str, entry: str, how: str, grade: str
) -> None:
    best = catalogue.match(label, slug)[0]
    assert (best.entry_id, best.how, best.grade, best.certain) == (entry, how, grade, True)


@pytest.mark.parametrize(("label", "entry"), [("glioma_tumor", "glioma"), ("malarai", "malaria")])
def test_a_likeness_is_only_a_suggestion(catalogue: Catalogue, label: str, entry: str) -> None:
    best = catalogue.match(label, "x")[0]
    assert best.entry_id == entry
    assert not best.certain


def test_a_mapping_of_another_data_set_is_only_a_suggestion(catalogue: Catalogue) -> None:
    best = catalogue.match("malignant", "skin")[0]
    assert (best.how, best.grade, best.certain) == ("other_context", "related", False)


@pytest.mark.parametrize(
    "label",
    [
        "normal",
        "healthy",
        "Healthy",
        "benign",
        "no_tumor",
        "no glioma",
        "non-malaria",
        "not_malaria",
        "negative",
        "uninfected",
        "malaria_neg",
        "glioma-free",
        "未发现疟疾",
        "malaria negative",
        "正常",
        "良性",
        "无疟疾",
        "未感染疟疾",
        "阴性",
        "without glioma",
        "normal_malaria",
        "benign glioma",
    ],
)
@pytest.mark.parametrize("slug", ["malaria", "brain-mri", "breast", ""])
def test_a_reassuring_label_never_opens_a_disease(catalogue: Catalogue, label: str, slug: str) -> None:
    diseases = {"malaria", "glioma", "breast-cancer", "benign-keratosis", "wrong", "lymphoma", "old"}
    assert not diseases & {match.entry_id for match in catalogue.match(label, slug)}


@pytest.mark.parametrize("label", ["abnormal", "abnormal blood cell", "normal blood cells infected"])
def test_a_likeness_never_makes_a_finding_normal(catalogue: Catalogue, label: str) -> None:
    assert catalogue.match(label, "x") == []


@pytest.mark.parametrize("label", ["", "   ", "!!", "class_17", "zzz", "x" * 100_000])
def test_what_nobody_knows_matches_nothing(catalogue: Catalogue, label: str) -> None:
    assert catalogue.match(label, "x") == []


def test_a_retired_entry_is_never_proposed(catalogue: Catalogue) -> None:
    assert "old" not in {match.entry_id for match in catalogue.match("parasitized", "x")}


@pytest.mark.parametrize(
    ("slug", "label", "kind"),
    [
        ("malaria", "parasitized", "disease"),
        ("malaria", "uninfected", "normal"),
        ("pneumonia", "pneumonia", "disease"),
        ("pneumonia", "normal", "normal"),
        ("skin", "mel", "disease"),
        ("skin", "nv", "disease"),
        ("skin", "bcc", "disease"),
        ("skin", "akiec", "disease"),
        ("skin", "bkl", "disease"),
        ("skin", "df", "disease"),
        ("skin", "vasc", "disease"),
    ],
)
def test_the_seed_knows_the_classes_of_common_data_sets(slug: str, label: str, kind: str) -> None:
    entries = {entry.id: entry for entry in seed_entries()}
    catalogue = Catalogue([term for entry in entries.values() for term in terms_of(entry)])
    best = catalogue.match(label, slug)[0]
    assert best.certain
    assert entries[best.entry_id].kind == kind
