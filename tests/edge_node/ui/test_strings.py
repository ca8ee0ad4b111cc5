"""Every sentence in both languages, and a glyph for every character."""

from __future__ import annotations

import importlib.util
from io import BytesIO
from pathlib import Path
from string import Formatter
from types import ModuleType

import pytest
from babel.messages.pofile import read_po
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[3]
FONTS = ROOT / "edge_node" / "ui" / "fonts"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_catalogue_is_complete_and_current(language: str) -> None:
    messages = tool("ui_messages")
    path = messages.po_path(language)
    wanted = messages.merged(language, messages.sentences())
    kept = read_po(BytesIO(path.read_bytes()), locale=language)
    assert {m.id for m in kept} == {m.id for m in wanted}, "run tools/ui_messages.py"
    assert messages.missing(kept) == []
    assert path.with_suffix(".mo").read_bytes() == messages.compiled(wanted), "run tools/ui_messages.py"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_translations_fill_in_the_same_values() -> None:
    messages = tool("ui_messages")
    for message in read_po(BytesIO(messages.po_path("zh").read_bytes()), locale="zh"):
        for original, translated in (
            [(message.id, message.string)]
            if isinstance(message.id, str)
            else [(message.id[-1], text) for text in message.string]
        ):
            assert placeholders(original) == placeholders(translated), original


def test_the_font_has_every_character_of_the_knowledge_base_and_of_our_sentences() -> None:
    font = tool("ui_font")
    glyphs = set(TTFont(FONTS / "MedMeshSans.ttf").getBestCmap())
    lacking = sorted(c for c in font.shown() | font.gb2312() if ord(c) not in glyphs)
    assert lacking == [], "run tools/ui_font.py; what the source font lacks must be worded otherwise"


def test_the_font_comes_with_its_licence() -> None:
    assert "Apache License" in (FONTS / "LICENSE").read_text("utf-8")
    assert "WenQuanYi" in (FONTS / "NOTICE").read_text("utf-8")
    assert (FONTS / "MedMeshSans.ttf").stat().st_size < 1_500_000
