"""The editorial rules of the knowledge base (docs/knowledge-base-format.md). Problems are collected, never raised."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from disease_kb.errors import KnowledgeBaseError
from disease_kb.labels import Catalogue, terms_of
from disease_kb.model import UNCITED_FIELDS, Entry, FieldName
from disease_kb.tokens import normal_form

# Fields and least numbers that make an entry useful at the bedside.
_NEEDED: dict[str, dict[tuple[FieldName, ...], int]] = {
    "disease": {("definition",): 1, ("symptom", "image_sign"): 3, ("red_flag",): 1, ("management",): 2},
    "normal": {("definition",): 1, ("management",): 1},
    "image_quality": {("definition",): 1, ("management",): 1},
    "other": {("definition",): 1, ("management",): 1},
}


@dataclass(frozen=True, slots=True)
class Report:
    """What ``validate`` found. ``codes_checked`` is False where the ICD-10-CM list is not installed."""

    entries: int
    languages: tuple[str, ...]  # complete in every entry
    unreviewed: int
    problems: tuple[KnowledgeBaseError, ...]
    codes_checked: bool


def validate(entries: Iterable[Entry]) -> Report:
    """Check every entry alone and all of them together."""
    known = {entry.id: entry for entry in entries}
    problems = [problem for entry in known.values() for problem in entry_problems(entry)]
    problems += parent_problems(known)
    problems += label_problems(known.values())
    problems += code_problems(known.values())
    complete = tuple(
        language for language in ("zh", "en") if all(_complete(entry, language) for entry in known.values())
    )
    unreviewed = sum(entry.review.status == "draft" for entry in known.values())
    return Report(len(known), complete, unreviewed, tuple(problems), icd_codes() is not None)


def entry_problems(entry: Entry) -> Iterator[KnowledgeBaseError]:
    """Check what one entry must hold: both languages, citations, the fields of its kind, an honest review."""
    keys = {source.key for source in entry.citations}
    for position, text in enumerate(entry.texts):
        where = f"texts[{position}] {text.field}"
        missing = "zh" if not text.zh else "en" if not text.en else ""
        if missing and text.field != "synonym":
            yield KnowledgeBaseError("kb.rule.language", entry=entry.id, where=where, language=missing)
        if text.field not in UNCITED_FIELDS:
            if not text.cite:
                yield KnowledgeBaseError("kb.rule.uncited", entry=entry.id, where=where)
            if not text.evidence:
                yield KnowledgeBaseError("kb.rule.evidence", entry=entry.id, where=where)
    cited = [(f"texts[{i}]", key) for i, text in enumerate(entry.texts) for key in text.cite]
    cited += [("urgency", key) for key in (entry.urgency.cite if entry.urgency else ())]
    for where, key in cited:
        if key not in keys:
            yield KnowledgeBaseError("kb.rule.citation", entry=entry.id, where=where, key=key)
    for fields, least in _NEEDED[entry.kind].items():
        count = sum(len(entry.of(field)) for field in fields)
        if count < least:
            names = " + ".join(fields)
            yield KnowledgeBaseError("kb.rule.too_few", entry=entry.id, where=names, count=count, least=least)
    if entry.kind != "disease" and entry.of("red_flag"):
        yield KnowledgeBaseError("kb.rule.red_flag", entry=entry.id, where="red_flag")
    yield from _urgency_problems(entry)
    if entry.review.status != "draft" and not (entry.review.by and entry.review.on):
        yield KnowledgeBaseError("kb.rule.review", entry=entry.id, where="review", status=entry.review.status)


def _urgency_problems(entry: Entry) -> Iterator[KnowledgeBaseError]:
    urgency = entry.urgency
    if urgency is None:
        if entry.kind == "disease":
            yield KnowledgeBaseError("kb.rule.too_few", entry=entry.id, where="urgency", count=0, least=1)
        return
    for language in ("zh", "en"):
        if not getattr(urgency, language):
            yield KnowledgeBaseError("kb.rule.language", entry=entry.id, where="urgency", language=language)
    if entry.kind == "disease" and not urgency.cite:
        yield KnowledgeBaseError("kb.rule.uncited", entry=entry.id, where="urgency")


def parent_problems(entries: Mapping[str, Entry]) -> Iterator[KnowledgeBaseError]:
    """Check that parents exist, unless the entry says they are external, and form no cycle."""
    for entry in entries.values():
        for parent in entry.parents:
            if parent not in entries and not entry.external:
                yield KnowledgeBaseError("kb.rule.parent", entry=entry.id, where="parents", parent=parent)
    done: set[str] = set()
    for start in sorted(entries):
        path: dict[str, Iterator[str]] = {}
        if start not in done:
            path[start] = iter(entries[start].parents)
        while path:  # depth first without recursion: a hostile chain may be long
            name, parents = next(reversed(path.items()))
            above = next(parents, None)
            if above is None:
                done.add(name)
                del path[name]
            elif above in path:
                circle = [*list(path)[list(path).index(above) :], above]
                yield KnowledgeBaseError("kb.rule.cycle", entry=name, where="parents", circle=" → ".join(circle[:8]))
            elif above in entries and above not in done:
                path[above] = iter(entries[above].parents)


def label_problems(entries: Iterable[Entry]) -> Iterator[KnowledgeBaseError]:
    """Check that a label means one entry in one context, and that no normal or benign label opens a disease."""
    entries = list(entries)
    claims: dict[tuple[str, str], str] = {}
    catalogue = Catalogue([term for entry in entries for term in terms_of(entry)])
    for entry in entries:
        for mapping in entry.labels:
            claim = (normal_form(mapping.label), normal_form(mapping.context))
            owner = claims.setdefault(claim, entry.id)
            details = {"entry": entry.id, "where": "labels", "label": mapping.label}
            if not claim[0]:
                yield KnowledgeBaseError("kb.rule.label_empty", **details)
            elif owner != entry.id:
                yield KnowledgeBaseError("kb.rule.label_claimed", **details, other=owner)
            elif entry.review.status != "retired" and not any(
                found.entry_id == entry.id for found in catalogue.match(mapping.label, mapping.context)
            ):
                yield KnowledgeBaseError("kb.rule.label_reassuring", **details)


def code_problems(entries: Iterable[Entry]) -> Iterator[KnowledgeBaseError]:
    """Check that ICD-10-CM codes exist, where the list is installed, and that no code stands twice in an entry."""
    known = icd_codes()
    for entry in entries:
        seen: set[tuple[str, str]] = set()
        for code in entry.codes:
            if (code.system, code.code) in seen:
                yield KnowledgeBaseError("kb.rule.code_twice", entry=entry.id, where="codes", value=code.code)
            seen.add((code.system, code.code))
            if code.system == "ICD-10-CM" and known is not None and code.code.replace(".", "") not in known:
                yield KnowledgeBaseError("kb.rule.code", entry=entry.id, where="codes", value=code.code)


@cache
def icd_codes() -> frozenset[str] | None:
    """Return every ICD-10-CM code without dots, or None where the development dependency is missing."""
    try:
        with warnings.catch_warnings():  # it reads its list through an old interface of the standard library
            warnings.simplefilter("ignore", DeprecationWarning)
            import simple_icd_10_cm as icd
    except ImportError:
        return None
    return frozenset(code.replace(".", "") for code in icd.get_all_codes(with_dots=False))


def _complete(entry: Entry, language: str) -> bool:
    return all(getattr(text, language) for text in entry.texts if text.field != "synonym")
