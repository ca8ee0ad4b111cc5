from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from protocols.errors import table

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("protocols", "disease_kb", "coordinator", "edge_node")
CODE = re.compile(r"[a-z][a-z_]*(\.[a-z0-9_]+)+|usage|defect|interrupted")


def raised_codes() -> dict[str, set[str]]:
    """Every code that stands as first argument of a call to a class ending in Error -> names of the details given."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                first = node.args[0]
                code = first.value if isinstance(first, ast.Constant) else None
                if name.endswith("Error") and isinstance(code, str) and CODE.fullmatch(code):
                    found.setdefault(code, set()).update(k.arg or "**" for k in node.keywords)
    return found


def test_every_code_that_is_raised_stands_in_the_table() -> None:
    assert sorted(set(raised_codes()) - set(table())) == []


@pytest.mark.parametrize("code", sorted(table()))
def test_both_languages_use_the_same_placeholders(code: str) -> None:
    meaning = table()[code]
    fields = {
        language: {
            f
            for text in (meaning.message[language], meaning.remedy[language])
            for _, f, _, _ in string.Formatter().parse(text)
            if f
        }
        for language in ("zh", "en")
    }
    assert fields["zh"] == fields["en"]
    assert all(meaning.message[x].strip() and meaning.remedy[x].strip() for x in ("zh", "en"))


def test_every_placeholder_is_given_where_the_code_is_raised() -> None:
    for code, given in raised_codes().items():
        if "**" in given:
            continue  # the details are a dictionary that only a run can show
        meaning = table()[code]
        wanted = {
            f for t in (meaning.message["en"], meaning.remedy["en"]) for _, f, _, _ in string.Formatter().parse(t) if f
        }
        assert wanted <= given, code
