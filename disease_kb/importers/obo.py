"""Reading the Disease Ontology (OBO 1.4, CC0) as drafts in English.

Only DOID and ICD-10-CM codes are taken. Cross references to SNOMED CT, UMLS, OMIM and others belong to their
owners and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from disease_kb.document import FORBIDDEN, from_document
from disease_kb.errors import UnreadableSourceError
from disease_kb.model import LIMITS, Entry

_ICD = re.compile(r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]*)')
_GRADE = {"EXACT": "professional", "": "professional"}


def read_obo(data: bytes, source: str) -> list[Entry]:
    """Return the terms that are not obsolete, as draft entries whose parents are external.

    Raises:
        UnreadableSourceError: not UTF-8, not OBO, or a term without id or name.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableSourceError("kb.file.encoding", source=source, position=error.start) from error
    header, *stanzas = re.split(r"^\[(?=\w+\]\s*$)", text, flags=re.M)
    if "format-version:" not in header:
        raise UnreadableSourceError("kb.obo.header", source=source)
    version = next((value for tag, value in _tags(header) if tag == "data-version"), "unknown")
    day = re.search(r"\d{4}-\d{2}-\d{2}", version)
    terms = (list(_tags(stanza)) for stanza in stanzas if stanza.startswith("Term]"))
    return [
        from_document(_document(tags, version, day.group() if day else "2000-01-01"))
        for tags in terms
        if ("is_obsolete", "true") not in tags
    ]


def _tags(stanza: str) -> Iterator[tuple[str, str]]:
    for line in stanza.splitlines():
        tag, colon, value = line.partition(": ")
        if colon:
            yield tag, value.strip()


def _document(tags: list[tuple[str, str]], version: str, day: str) -> dict[str, Any]:
    values: dict[str, list[str]] = {}
    for tag, value in tags:
        values.setdefault(tag, []).append(value)
    if "id" not in values or "name" not in values:
        raise UnreadableSourceError("kb.obo.term", term=values.get("id", values.get("name", ["?"]))[0][:80])
    term = values["id"][0]
    name = _clean(values["name"][0], LIMITS.name)
    texts: list[dict[str, Any]] = [{"field": "name", "en": name}]
    for synonym in values.get("synonym", []):
        found = _QUOTED.match(synonym)
        if found and found.group(2) in _GRADE and (word := _clean(_unescaped(found.group(1)), LIMITS.name)) != name:
            texts.append({"field": "synonym", "en": word, "register": _GRADE[found.group(2)]})
    if (definition := _QUOTED.match(values.get("def", [""])[0])) and definition.group(1).strip():
        content = _clean(_unescaped(definition.group(1)), LIMITS.text)
        texts.append({"field": "definition", "en": content, "cite": ["doid"], "evidence": "consensus"})
    icd = [x.removeprefix("ICD10CM:") for x in values.get("xref", []) if x.startswith("ICD10CM:")]
    codes = [{"system": "DOID", "code": term, "match": "exact"}]
    # The ontology does not grade its cross references; several terms may share one code.
    codes += [{"system": "ICD-10-CM", "code": code, "match": "close"} for code in icd if _ICD.fullmatch(code)]
    return {
        "id": _slug(term),
        "kind": "disease",
        "version": 1,
        "updated": day,
        "licence": "CC0-1.0",
        "provenance": f"Human Disease Ontology, {version}"[: LIMITS.short],
        "external": True,
        "parents": [_slug(parent.partition(" ")[0]) for parent in values.get("is_a", [])][: LIMITS.parents],
        "codes": codes[: LIMITS.codes],
        "texts": texts[: LIMITS.texts],
        "citations": {
            "doid": {
                "title": f"Human Disease Ontology: {term}",
                "publisher": "Disease Ontology",
                "year": int(day[:4]),
                "kind": "classification",
            }
        },
    }


def _slug(term: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found.group(1), found.group(1)), text)


def _clean(text: str, limit: int) -> str:
    return FORBIDDEN.sub("", text).strip()[:limit]
