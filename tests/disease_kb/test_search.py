from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from disease_kb import KnowledgeBase
from disease_kb.model import Code, Review, Text
from disease_kb.search import MAX_QUERY, Query, highlight, normal_code
from disease_kb.tokens import index_text, name_forms, normal_form
from tests.disease_kb.conftest import EntryFactory


@pytest_asyncio.fixture
async def kb(tmp_path: Path, make_entry: EntryFactory) -> AsyncIterator[KnowledgeBase]:
    def named(name: str, zh: str, en: str, code: str, *more: Text) -> object:
        base = make_entry(name, zh, en, codes=(Code("ICD-10-CM", code, "exact"),))
        return make_entry(name, zh, en, codes=base.codes, texts=(*base.texts, *more))

    lay = Text("synonym", "打摆子", "Ague", register="lay")
    async with await KnowledgeBase.open(tmp_path / "kb.sqlite") as opened:
        await opened.replace_all(
            [
                named("malaria", "疟疾", "Malaria", "B54", lay),
                named("pneumonia", "肺炎", "Pneumonia", "J18.9"),
                named("tuberculosis", "肺结核", "Tuberculosis of the lung", "A15.0"),
                named("lung-cancer", "肺癌", "Lung tumour", "C34.90"),
                named(
                    "shingles",
                    "带状疱疹",
                    "Herpes zoster",
                    "B02.9",
                    Text("symptom", "沿肋骨的剧痛", "Pain along a rib"),
                ),
                named("hearing", "梅尼埃病", "Ménière's disease", "H81.0"),
                named("swelling", "水肿", "Oedema", "R60.9"),
            ]  # type: ignore[list-item]
        )
        yield opened


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("疟疾", "malaria"),
        ("肺炎", "pneumonia"),
        ("打摆子", "malaria"),
        ("摆子", "malaria"),
        ("癌", "lung-cancer"),
        ("剧痛", "shingles"),
        ("malaria", "malaria"),
        ("MALARIA", "malaria"),
        ("ｍａｌａｒｉａ", "malaria"),
        ("malar", "malaria"),
        ("ague", "malaria"),
        ("zoster herpes", "shingles"),
        ("meniere", "hearing"),
        ("edema", "swelling"),
        ("lung tumors", "lung-cancer"),
        ("B54", "malaria"),
        ("b54", "malaria"),
        ("ICD-10-CM:J18.9", "pneumonia"),
        ("J189", "pneumonia"),
        ("C34", "lung-cancer"),
        ("C34.901", "lung-cancer"),
    ],
)
async def test_finds_first_what_was_meant(kb: KnowledgeBase, text: str, meant: str) -> None:
    assert (await kb.search(text))[0].id == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("maleria", "malaria"),
        ("pnuemonia", "pneumonia"),
        ("tuberculosos", "tuberculosis"),
        ("虐疾", "malaria"),
        ("带状泡疹", "shingles"),
        ("herpes zosster", "shingles"),
        ("xherpes zoster", "shingles"),
    ],
)
async def test_forgives_slips_of_typing(kb: KnowledgeBase, text: str, meant: str) -> None:
    hit = (await kb.search(text))[0]
    assert hit.id == meant
    assert hit.score < 0.8


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "*",
        "a AND",
        "NEAR(",
        "name:malaria OR",
        "'; DROP TABLE entry; --",
        "(",
        "^",
        "\x00",
        "",
        "   ",
        "🩺",
        "{",
        "-",
    ],
)
async def test_no_text_is_query_syntax(kb: KnowledgeBase, text: str) -> None:
    await kb.search(text)
    assert len(await kb.entries()) == 7


async def test_nonsense_finds_nothing(kb: KnowledgeBase) -> None:
    assert await kb.search("qwxzkj") == []


async def test_a_very_long_query_is_cut(kb: KnowledgeBase) -> None:
    assert await kb.search("zzz " * 1_000_000) == []
    assert len(Query.parse("x" * 10_000).text) == MAX_QUERY


async def test_the_limit_holds(kb: KnowledgeBase) -> None:
    assert len(await kb.search("grey", limit=3)) == 3
    assert await kb.search("grey", limit=0) == []


async def test_a_name_ranks_above_a_mention(kb: KnowledgeBase, make_entry: EntryFactory) -> None:
    mention = make_entry("a-mention", "某病", "Something", provenance="x")
    mention = make_entry("a-mention", texts=(*mention.texts, Text("differential", "肺炎；肺炎；肺炎", "Not pneumonia")))
    await kb.write([mention])
    assert [hit.id for hit in await kb.search("肺炎")] == ["pneumonia", "a-mention"]


async def test_a_retired_entry_ranks_last(kb: KnowledgeBase, make_entry: EntryFactory) -> None:
    await kb.write([make_entry("aaa", "肺炎", "Pneumonia", review=Review("retired", "A. Doctor"))])
    assert [hit.id for hit in await kb.search("肺炎")] == ["pneumonia", "aaa"]


async def test_highlights_show_why_an_entry_matched(kb: KnowledgeBase) -> None:
    snippet = (await kb.search("剧痛"))[0].snippets[0]
    assert snippet.field == "symptom"
    assert [snippet.text[start:end] for start, end in snippet.spans] == ["剧痛"]


async def test_new_entries_are_found_by_misspelt_queries_too(kb: KnowledgeBase, make_entry: EntryFactory) -> None:
    await kb.search("brucelosis")
    await kb.write([make_entry("brucellosis", "布鲁氏菌病", "Brucellosis")])
    assert (await kb.search("brucelosis"))[0].id == "brucellosis"


def test_highlights_follow_the_original_text() -> None:
    text = "Haemorrhage，OEDEMA 和水肿"
    spans = highlight(text, Query.parse("oedema 水肿"))
    assert [text[start:end] for start, end in spans] == ["OEDEMA", "水肿"]


def test_pairs_of_characters_overlap_and_the_last_stands_alone() -> None:
    assert index_text("肺结核 TB") == "肺结 结核 核 tb"


def test_british_and_american_words_agree() -> None:
    for british, american in (("tumours", "tumor"), ("leukaemia", "leukemia"), ("oesophagus", "esophagus")):
        assert normal_form(british) == normal_form(american)


def test_a_name_is_known_without_its_bracket() -> None:
    assert name_forms("癣（皮肤癣菌病）") == ["癣 皮肤癣菌病", "癣"]


@pytest.mark.parametrize("code", ["C43.9", "c439", "ICD10CM:C43.9", " C43.9 "])
def test_codes_agree_however_they_are_written(code: str) -> None:
    assert normal_code(code) == "C439"
