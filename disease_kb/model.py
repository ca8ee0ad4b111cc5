"""What the knowledge base holds: entries of bilingual, cited, coded text. Values only; rules stand in ``validate``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

Kind = Literal["disease", "normal", "image_quality", "other"]
CodeSystem = Literal["ICD-10-CM", "DOID", "ICD-10", "ICD-11", "SNOMED-CT"]
Grade = Literal["exact", "close", "broad", "narrow", "related"]  # SKOS mapping relations
FieldName = Literal[
    "name",
    "synonym",
    "definition",
    "symptom",
    "image_sign",
    "red_flag",
    "differential",
    "management",
    "prevention",
]
Register = Literal["", "lay", "professional", "abbreviation"]
Evidence = Literal["", "guideline", "textbook", "review", "consensus"]
Translation = Literal["", "original", "unreviewed", "reviewed"]
CitationKind = Literal["guideline", "textbook", "review", "classification"]
UrgencyLevel = Literal["emergency", "urgent", "soon", "routine", "none"]
ReviewStatus = Literal["draft", "reviewed", "retired"]

KINDS: tuple[Kind, ...] = get_args(Kind)
FIELDS: tuple[FieldName, ...] = get_args(FieldName)
UNCITED_FIELDS: frozenset[FieldName] = frozenset({"name", "synonym"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one entry, in characters or counts. They bound what hostile input can cost."""

    identifier: int = 80
    name: int = 300
    short: int = 400  # titles, labels, codes, provenance
    text: int = 6_000
    parents: int = 20
    modalities: int = 20
    codes: int = 100
    labels: int = 200
    texts: int = 500
    citations: int = 100
    document_bytes: int = 400_000  # the canonical document, UTF-8


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a classification, and how well it fits (``broad``: the code is the broader concept)."""

    system: CodeSystem
    code: str
    match: Grade


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """A class name of training data that means the entry; ``context`` limits it to one disease slug."""

    label: str
    match: Grade
    context: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One statement in both languages with its citations; one language may be empty in drafts and synonyms."""

    field: FieldName
    zh: str = ""
    en: str = ""
    register: Register = ""
    cite: tuple[str, ...] = ()
    evidence: Evidence = ""
    translation: Translation = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that the texts of one entry name by ``key``."""

    key: str
    title: str
    publisher: str
    year: int
    kind: CitationKind


@dataclass(frozen=True, slots=True)
class Urgency:
    """How soon a patient should be seen, and why in one sentence."""

    level: UrgencyLevel
    zh: str = ""
    en: str = ""
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """Whether a clinician has read the entry; ``by`` and ``on`` are set unless it is a draft."""

    status: ReviewStatus = "draft"
    by: str = ""
    on: date | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One disease, normal finding, image-quality finding or other class. ``citations`` are sorted by key."""

    id: str
    kind: Kind
    version: int
    updated: date
    licence: str
    provenance: str
    external: bool = False  # parents may name entries that this knowledge base lacks
    parents: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    review: Review = Review()
    urgency: Urgency | None = None
    codes: tuple[Code, ...] = ()
    labels: tuple[LabelMapping, ...] = ()
    texts: tuple[Text, ...] = ()
    citations: tuple[Citation, ...] = ()

    def of(self, field: FieldName) -> tuple[Text, ...]:
        """Return the texts of one field in reading order."""
        return tuple(text for text in self.texts if text.field == field)

    @property
    def name(self) -> Text:
        """The entry's one name."""
        return next(text for text in self.texts if text.field == "name")
