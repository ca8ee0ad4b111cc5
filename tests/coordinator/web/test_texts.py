"""The pages' sentences: all collected, all translated, with the same places to fill in."""

from __future__ import annotations

import importlib.util
import re
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.pofile import read_po

from coordinator.web.texts import texts
from coordinator.web.words import DONE, WORDS

ROOT = Path(__file__).resolve().parents[3]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ui_messages", ROOT / "tools" / "ui_messages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_sentence_is_collected_and_translated(language: str) -> None:
    messages = tool()
    path = messages.po_path(language, messages.DASHBOARD)
    kept = read_po(BytesIO(path.read_bytes()), locale=language)
    wanted = messages.merged(language, messages.sentences(messages.DASHBOARD), messages.DASHBOARD)
    assert {m.id for m in kept} == {m.id for m in wanted}, "run tools/ui_messages.py"
    assert messages.missing(kept) == []
    assert path.with_suffix(".mo").read_bytes() == messages.compiled(wanted), "run tools/ui_messages.py"


def test_translations_have_the_same_places_to_fill_in() -> None:
    messages = tool()
    for message in read_po(BytesIO(messages.po_path("zh", messages.DASHBOARD).read_bytes()), locale="zh"):
        if message.id:
            assert sorted(re.findall(r"{\w+}", message.id)) == sorted(re.findall(r"{\w+}", message.string)), message.id


def test_states_and_what_was_done_are_said_in_chinese() -> None:
    for sentence in (*WORDS.values(), *DONE.values()):
        assert re.search(r"[\u4e00-\u9fff]", texts("zh").t(sentence)), sentence
