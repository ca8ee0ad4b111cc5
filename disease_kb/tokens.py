"""How text becomes search tokens: one set of rules for the index, for queries and for comparing names.

Chinese has no spaces, and SQLite's trigram index finds nothing for two-character names (肺炎). So runs of CJK
characters are cut into overlapping pairs here, and FTS5's ``unicode61`` only has to split at spaces. A run ``c1
c2 c3`` gives ``c1c2 c2c3 c3``: the last single character lets the prefix query ``c3*`` find it at the end of a
run too.

Latin words are folded over case, accents, British and American spelling and the plural ``s``. Folded words need
not be real words; they only have to agree between index and query.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CJK = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PIECE = re.compile(f"(?P<cjk>[{_CJK}]+)|[^\\W_{_CJK}]+")
_HAS_CJK = re.compile(f"[{_CJK}]")
_BRACKET = re.compile(r"[(（\[【][^()（）\[\]【】]*[)）\]】]")
_SPELLING = ((re.compile("ae|oe"), "e"), (re.compile("our(?=s?$)"), "or"), (re.compile("(?<=[a-z]{3}[^sui])s$"), ""))


def fold(text: str) -> str:
    """Fold width, case, accents and ligatures, so that ``Ménière``, ``MENIERE`` and full-width letters agree."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text).casefold().replace("æ", "ae").replace("œ", "oe")
    return unicodedata.normalize("NFKC", "".join(c for c in folded if not unicodedata.combining(c)))


def pieces(text: str, like: re.Pattern[str] | None = None) -> Iterator[tuple[str, bool, int, int]]:
    """Yield the folded words and CJK runs of a text: token, whether it is CJK, start and end in ``text``.

    With ``like``, only those pieces that hold the pattern before they are folded.
    """
    for found in _PIECE.finditer(text):
        if like is not None and not like.search(found.group()):
            continue
        cjk = found.group("cjk") is not None
        token = fold(found.group())
        if not cjk:
            for pattern, replacement in _SPELLING:
                token = pattern.sub(replacement, token)
        yield token, cjk, found.start(), found.end()


def normal_form(text: str) -> str:
    """Reduce a name or label to its words: ``Glioma_tumours`` and ``glioma tumor`` give the same."""
    return " ".join(token for token, *_ in pieces(text))


def name_forms(name: str) -> list[str]:
    """Return the normal forms under which a name is known: the whole, and what stands before a bracket."""
    forms = (normal_form(name), normal_form(_BRACKET.sub(" ", name)))
    return [form for form in dict.fromkeys(forms) if form]


def has_cjk(text: str) -> bool:
    """Tell whether the text holds a CJK character."""
    return _HAS_CJK.search(text) is not None


def trace(tokens: list[tuple[str, bool]]) -> re.Pattern[str]:
    """Return a cheap pattern that texts with one of the (token, is CJK) pairs match; it misses early accents."""
    starts: list[str] = []
    for token, cjk in tokens:
        for start in {token} if cjk else {token[:3], *(token[:3].replace("e", pair, 1) for pair in ("ae", "oe"))}:
            starts += dict.fromkeys((start, start.capitalize(), start.upper()))
    return re.compile("|".join(starts))


def index_text(text: str) -> str:
    """Return the tokens of a text, separated by spaces, for the full-text index."""
    tokens: list[str] = []
    for token, cjk, *_ in pieces(text):
        tokens += [token[i : i + 2] for i in range(len(token))] if cjk else [token]
    return " ".join(tokens)


def query_phrases(text: str) -> list[list[str]]:
    """Cut a query into phrases, one a word: tokens that must stand side by side. A lone CJK character is one token."""
    phrases: list[list[str]] = []
    for word in text.split():
        tokens: list[str] = []
        for token, cjk, *_ in pieces(word):
            tokens += [token[i : i + 2] for i in range(len(token) - 1)] if cjk and len(token) > 1 else [token]
        if tokens:
            phrases.append(tokens)
    return phrases
