"""What a query means and how hits are ranked and highlighted: pure decisions; ``lookup`` runs the SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

from disease_kb.model import Code
from disease_kb.tokens import fold, has_cjk, pieces, query_phrases, trace

MAX_QUERY = 200  # characters; the rest of a longer query is ignored
MAX_PHRASES = 12
SNIPPET = 120  # characters of a long text shown around the first match

# What equals the query stands above what holds it, and that above what only resembles it.
EXACT_SCORE = {"code": 1.0, "name": 1.0, "synonym": 0.95, "label": 0.85}
CODE_BELOW_SCORE = 0.9  # the query C43 and an entry coded C43.9
CODE_ABOVE_SCORE = 0.7  # the query C43.91 and an entry coded C43
NAME_SCORE = (0.8, 0.85)  # the name holds every word; worst and best rank of the list
TEXT_SCORE = (0.4, 0.75)
CORRECTED_FACTOR = 0.8
SIMILAR_SCORE = (0.3, 0.75)
PARTIAL_FACTOR = 0.3
RETIRED_FACTOR = 0.5

_DECODER = json.JSONDecoder()
_CODE_SHAPE = re.compile(r"(?:[a-z][a-z0-9-]{1,12}:)?(?:[a-z]\d[0-9a-z](?:\.?[0-9a-z]{1,4})?|\d{2,12})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of an entry's text with the matched character ranges ``[start, end)``; plain text, never markup."""

    field: str
    language: str
    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result; ``score`` lies in 0..1 and orders the list, ``how`` says what matched."""

    id: str
    kind: str
    name: dict[str, str]
    codes: tuple[Code, ...]
    urgency: str
    review_status: str
    score: float
    how: str
    snippets: tuple[Snippet, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the result as ``medmesh-kb search --json`` prints it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "codes": [{"system": c.system, "code": c.code, "match": c.match} for c in self.codes],
            "urgency": self.urgency,
            "review_status": self.review_status,
            "score": round(self.score, 4),
            "how": self.how,
            "highlights": [
                {"field": s.field, "language": s.language, "text": s.text, "spans": [list(span) for span in s.spans]}
                for s in self.snippets
            ],
        }


@dataclass(frozen=True, slots=True)
class Query:
    """A search text, cut as the index is cut."""

    text: str
    normal: str
    phrases: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]  # folded Latin words
    runs: tuple[str, ...]  # CJK runs
    trace: re.Pattern[str]  # what a text must match to be worth highlighting

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read what a person typed; anything is allowed, and punctuation is never query syntax."""
        text = text[:MAX_QUERY]
        phrases = tuple(tuple(phrase) for phrase in query_phrases(text)[:MAX_PHRASES])
        tokens = [(token, cjk) for token, cjk, *_ in pieces(text)]
        words = tuple(token for token, cjk in tokens if not cjk)
        runs = tuple(token for token, cjk in tokens if cjk)
        return cls(text, " ".join(token for token, _ in tokens), phrases, words, runs, trace(tokens))

    @property
    def code(self) -> str:
        """The query as a normalised code, or empty if it does not look like one."""
        text = fold(self.text).strip()
        return normal_code(text) if _CODE_SHAPE.fullmatch(text) else ""

    def match_all(self) -> str:
        """FTS5 expression: every phrase; Latin words and lone CJK characters also as a prefix."""
        return " AND ".join(_phrase(phrase) for phrase in self.phrases)

    def match_corrected(self, corrections: dict[str, list[str]]) -> str:
        """FTS5 expression: every token, where a misspelt one may be any of its corrections."""
        tokens = [token for phrase in self.phrases for token in phrase]
        return " AND ".join(
            "(" + " OR ".join([_phrase([token]), *(f'"{word}"' for word in corrections.get(token, ()))]) + ")"
            for token in tokens
        )

    def match_any(self) -> str:
        """FTS5 expression: any of the tokens; empty if all are single characters."""
        tokens = [token for phrase in self.phrases for token in phrase if len(token) > 1]
        return " OR ".join(f'"{token}"' for token in dict.fromkeys(tokens))


def _phrase(tokens: Sequence[str]) -> str:
    last = tokens[-1]
    prefix = "*" if len(last) == 1 or not has_cjk(last) else ""
    return f'"{" ".join(tokens)}"{prefix}'


def normal_code(code: str) -> str:
    """Reduce a code to its letters and digits: ``ICD10CM:C43.9``, ``c43.9`` and ``C439`` give ``C439``."""
    return re.sub(r"[^0-9A-Z]", "", code.upper().rpartition(":")[2])


def codes_above(code: str) -> list[str]:
    """Return the broader ICD codes that a normalised code lies under, nearest first."""
    return [code[:length] for length in range(len(code) - 1, 2, -1)] if code[:1].isalpha() else []


def between(bounds: tuple[float, float], position: int, count: int) -> float:
    """Score of the ``position``-th of ``count`` results, best first, spread over ``bounds`` (worst, best)."""
    low, high = bounds
    return high - (high - low) * position / max(count, 1)


def correct(token: str, vocabulary: Sequence[str], limit: int = 4) -> list[str]:
    """Find index words one typing error away (two in words of eight letters or more), nearest first."""
    if has_cjk(token) or len(token) < 4 or token.isdigit():
        return []
    allowed = 2 if len(token) >= 8 else 1
    near = process.extract(token, vocabulary, scorer=OSA.distance, score_cutoff=allowed, limit=limit * 4)
    # A wrong first letter is rarer than any other slip, so words that share it come first.
    near.sort(key=lambda found: (found[1], found[0][0] != token[0], found[0]))
    return [word for word, _, _ in near[:limit]]


def similar_names(normal: str, names: Sequence[str], limit: int) -> list[tuple[int, float]]:
    """Find names that resemble a normalised query: index and similarity in 0..1, best first.

    A Chinese name of up to five characters may differ in one (a homophone); longer names in about a fifth.
    """
    if len(normal) < 2:
        return []
    short_cjk = has_cjk(normal) and len(normal) <= 5
    cutoff = 1 - 1 / len(normal) - 0.01 if short_cjk else 0.78
    found = process.extract(normal, names, scorer=OSA.normalized_similarity, score_cutoff=cutoff, limit=limit)
    return [(index, similarity) for _, similarity, index in found]


def holds(name: str, query: Query) -> bool:
    """Tell whether a name, as ``normal_form`` gives it, holds every phrase of the query."""
    spaced = f" {name}"
    for phrase in query.phrases:
        words = phrase[0] + "".join(t[-1] if has_cjk(t) else f" {t}" for t in phrase[1:])
        if (words if has_cjk(words) else f" {words}") not in spaced:
            return False
    return True


def highlight(text: str, query: Query) -> tuple[tuple[int, int], ...]:
    """Return the character ranges of ``text`` that the query's words match, in order and apart."""
    if not query.trace.search(text):
        return ()
    spans: list[tuple[int, int]] = []
    for token, cjk, start, end in pieces(text, like=query.trace):
        if cjk:
            spans += [(start + f.start(), start + f.end()) for run in query.runs for f in re.finditer(run, token)]
        elif query.words and token.startswith(query.words):
            spans.append((start, end))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def snippets(texts: Iterable[tuple[str, str, str]], query: Query, limit: int = 2) -> tuple[Snippet, ...]:
    """Return the first of ``texts`` (field, language, text) that the query matches, cut around the match."""
    found: list[Snippet] = []
    for field, language, text in texts:
        if spans := highlight(text, query):
            found.append(_cut(field, language, text, spans))
            if len(found) == limit:
                break
    return tuple(found)


def passages(document: str, query: Query) -> Iterator[tuple[str, str, str]]:
    """Yield the texts of a canonical JSON document that might match, without parsing all of it."""
    at = document.index('"texts":[')
    while found := query.trace.search(document, at):
        # In canonical JSON ``{"`` opens an object, unless a string ends with a brace: then the whole is parsed.
        start = document.rfind('{"', 0, found.start())
        try:
            text, end = _DECODER.raw_decode(document, start)
        except ValueError:
            yield from (
                (t["field"], side, t.get(side, "")) for t in json.loads(document)["texts"] for side in ("zh", "en")
            )
            return
        at = max(end, found.end())
        if "field" in text:
            yield from ((text["field"], side, text.get(side, "")) for side in ("zh", "en"))


def _cut(field: str, language: str, text: str, spans: Sequence[tuple[int, int]]) -> Snippet:
    start = max(0, spans[0][0] - SNIPPET // 3) if len(text) > SNIPPET else 0
    end = min(len(text), start + SNIPPET)
    inside = tuple((first - start, min(last, end) - start) for first, last in spans if first < end)
    return Snippet(field, language, text[start:end], inside)
