from __future__ import annotations

import re
from importlib import resources
from string import Formatter

from protocols.errors import table


def _codes_used() -> set[str]:
    package = resources.files("disease_kb")
    folders = [package, package / "importers", package / "exporters"]
    sources = [file.read_text("utf-8") for folder in folders for file in folder.iterdir() if file.name.endswith(".py")]
    return {code for source in sources for code in re.findall(r'"((?:kb|file|storage)\.[a-z_.]+)"', source)}


def test_every_code_that_is_raised_has_its_meaning_and_every_meaning_is_used() -> None:
    used = _codes_used() - {"kb.sqlite"}
    assert used <= table().keys()
    assert {code for code in table() if code.startswith("kb.")} <= used


def test_both_languages_name_the_same_details() -> None:
    for code, meaning in table().items():
        if code.startswith("kb."):
            names = [
                {name for _, name, _, _ in Formatter().parse(meaning.message[side]) if name} for side in ("en", "zh")
            ]
            assert names[0] == names[1], code
