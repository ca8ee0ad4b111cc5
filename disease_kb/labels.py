"""Which entry does a class name of training data mean? Decided by label mapping, code, name, synonym, then likeness.

The rule that outranks all others: a class that says "normal", "healthy" or "benign" never opens a disease as if
it were one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import OSA

from disease_kb.model import Entry, Grade
from disease_kb.search import normal_code
from disease_kb.tokens import has_cjk, name_forms, normal_form

How = Literal["label", "code", "name", "synonym", "part", "other_context", "similar"]

CERTAIN_SCORE = 0.85
_SIMILAR_CUTOFF = 0.85
_NEGATING = re.compile(
    r"\b(normal|norm|healthy|negative|neg|uninfected|unaffected|noninfected|no|non|not|without|none|absent|free|control"
    r"|ctrl|clear|clean|unremarkable)\b|正常|健康|阴性|未感染|未见|未发现|没有|无|非"
)
_BENIGN = re.compile(r"\bbenign\b|良性")
# Words that say what kind of thing a class is, not which: "glioma tumor" names the same class as "glioma".
_GENERIC = frozenset(
    {"disease", "disorder", "tumor", "lesion", "cell", "image", "infection", "infected", "positive", "case", "patient"}
    | {"class", "type", "skin"}
)


@dataclass(frozen=True, slots=True)
class Term:
    """One way to name an entry: a name, synonym, label mapping or code, in normal form."""

    normal: str
    source: Literal["name", "synonym", "label", "code"]
    grade: Grade
    context: str  # of a label mapping, as written; else empty
    entry_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class LabelMatch:
    """A proposed entry for a label, with the mapping's grade, a score in 0..1 and how it was found."""

    entry_id: str
    grade: Grade
    score: float
    how: How

    @property
    def certain(self) -> bool:
        """True when it may be used without asking a person; anything less is a suggestion."""
        return self.score >= CERTAIN_SCORE


class Catalogue:
    """Every term of the entries that are not retired, ready for matching. Holds no text beyond names and labels."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = terms
        self._by_normal: dict[str, list[Term]] = {}
        self._names: dict[str, list[str]] = {}
        for term in terms:
            self._by_normal.setdefault(term.normal, []).append(term)
            if term.source in ("name", "synonym"):
                self._names.setdefault(term.entry_id, []).append(term.normal)
        self._named = [term for term in terms if term.source in ("name", "synonym")]

    def match(self, label: str, disease_slug: str) -> list[LabelMatch]:
        """Return the entries that a label may mean, best first; empty when nothing fits."""
        best: dict[str, LabelMatch] = {}
        for normal in name_forms(label[:200]):
            for term, match in self._proposals(normal, label, disease_slug):
                known = best.get(match.entry_id)
                if self._allowed(normal, term, match.how) and (known is None or match.score > known.score):
                    best[match.entry_id] = match
        return sorted(best.values(), key=lambda m: (-m.score, m.entry_id))

    def _proposals(self, normal: str, label: str, disease_slug: str) -> Iterable[tuple[Term, LabelMatch]]:
        for term in self._by_normal.get(normal, ()):
            if term.source == "label":
                how, score = _context_fit(term.context, disease_slug)
                grade: Grade = term.grade if how == "label" else "related"
                yield term, LabelMatch(term.entry_id, grade, score, how)
            elif term.source != "code":
                score = 0.95 if term.source == "name" else 0.9
                yield term, LabelMatch(term.entry_id, term.grade, score, term.source)
        for term in self._by_normal.get(normal_code(label), ()):
            if term.source == "code":
                score = 0.92 if term.grade in ("exact", "close") else 0.6
                yield term, LabelMatch(term.entry_id, term.grade, score, "code")
        words = frozenset(normal.split())
        for term in self._named:
            if _same_but_generic(words, frozenset(term.normal.split())):
                yield term, LabelMatch(term.entry_id, "close", 0.8, "part")
        yield from self._similar(normal)

    def _similar(self, normal: str) -> Iterable[tuple[Term, LabelMatch]]:
        if len(normal) < (3 if has_cjk(normal) else 6):
            return
        names = [term.normal for term in self._named]
        found = process.extract(normal, names, scorer=OSA.normalized_similarity, score_cutoff=_SIMILAR_CUTOFF, limit=5)
        for name, similarity, index in found:
            if name != normal:
                term = self._named[index]
                yield term, LabelMatch(term.entry_id, "related", round(0.7 * similarity, 4), "similar")

    def _allowed(self, normal: str, term: Term, how: How) -> bool:
        """Hold the rule about normal and benign classes, in both directions."""
        if term.kind != "disease":
            return how not in ("similar", "part")  # "abnormal" resembles "normal"
        negating, benign = _NEGATING.search(normal), _BENIGN.search(normal)
        if not negating and not benign:
            return True
        names = self._names.get(term.entry_id, [])
        if normal in names:  # "non-Hodgkin lymphoma" is a disease by its full name; "normal" alone never is
            return bool(_BENIGN.sub("", _NEGATING.sub("", normal)).strip())
        return not negating and how == "label" and any(_BENIGN.search(name) for name in names)


def _context_fit(context: str, disease_slug: str) -> tuple[How, float]:
    """Tell how well a mapping's context fits a data set's slug: the same, part of it, none asked, or another."""
    if not context:
        return "label", 0.97
    wanted, given = set(normal_form(context).split()), set(normal_form(disease_slug).split())
    if wanted == given:
        return "label", 1.0
    return ("label", 0.93) if wanted <= given else ("other_context", 0.5)


def _same_but_generic(words: frozenset[str], others: frozenset[str]) -> bool:
    """Tell whether one set of words is the other plus words that only say what kind of thing it is."""
    extra = words ^ others
    return bool(extra and extra <= _GENERIC and (words < others or others < words) and not words & others <= _GENERIC)


def terms_of(entry: Entry) -> list[Term]:
    """Return the terms of one entry; none for a retired one."""
    if entry.review.status == "retired":
        return []
    terms: list[Term] = []
    for text in entry.texts:
        if text.field not in ("name", "synonym"):
            continue
        grade: Grade = "close" if text.register == "lay" else "exact"
        source: Literal["name", "synonym"] = "name" if text.field == "name" else "synonym"
        forms = name_forms(text.zh) + name_forms(text.en)
        terms += [Term(form, source, grade, "", entry.id, entry.kind) for form in forms]
    for mapping in entry.labels:
        terms.append(Term(normal_form(mapping.label), "label", mapping.match, mapping.context, entry.id, entry.kind))
    terms += [Term(normal_code(code.code), "code", code.match, "", entry.id, entry.kind) for code in entry.codes]
    return terms
