"""Each report once, the last word of the same node, and exports of what was chosen."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle

from coordinator.errors import CoordinatorError
from coordinator.results.export import export_results
from coordinator.results.store import Chosen, Results
from disease_kb.seeding import seed_entries
from disease_kb.store import KnowledgeBase
from tests.support.coordinator import NOW, database, revoke
from tests.support.reports import confirmation, report

ALL = Chosen()


@pytest.fixture
async def results(tmp_path: Path) -> AsyncIterator[Results]:
    async with database(tmp_path, "n1", "n2", "gone") as opened:
        await revoke(opened, "gone")
        yield Results(opened)


async def ids(results: Results, chosen: Chosen = ALL) -> list[str]:
    return [arrived.report.id async for arrived in results.every(chosen)]


async def test_a_report_that_comes_again_is_counted_once_and_keeps_its_first_form(results: Results) -> None:
    first = report(1)
    await results.store([("n1", [first, confirmation(first)])], NOW)
    await results.store([("n1", [first, confirmation(first)]), ("n1", [report(1, outcome="unsure"), report(2)])], NOW)
    assert await ids(results) == [first.id, report(2).id]
    (arrived, _) = [x async for x in results.every(ALL)]
    assert (arrived.report, arrived.word, arrived.site) == (first, confirmation(first), "site of n1")


async def test_a_node_can_neither_take_another_ones_id_nor_confirm_its_results(results: Results) -> None:
    first = report(1)
    await results.store([("n2", [report(1, outcome="unsure"), confirmation(first)]), ("n1", [first])], NOW)
    found = {x.node: (x.report.outcome, x.word is None) async for x in results.every(ALL)}
    assert found == {"n1": ("recognised", True), "n2": ("unsure", False)}


async def test_the_highest_revision_is_the_last_word_in_whatever_order_they_come(results: Results) -> None:
    first = report(1)
    words = [confirmation(first, "uninfected", 2), confirmation(first, "parasitized", 1)]
    await results.store([("n1", [words[0], first, words[1]])], NOW)
    twin = confirmation(first, "other", 2)  # a node restored from a backup counts from there again
    await results.store([("n1", [twin])], NOW)
    (arrived,) = [x async for x in results.every(ALL)]
    assert arrived.word == twin


async def test_of_a_node_that_is_not_enrolled_nothing_is_taken_and_the_others_are(results: Results) -> None:
    batches = [("gone", [report(1)]), ("n1", [report(2)]), ("stranger", [report(3)])]
    assert await results.store(batches, NOW) == {"gone", "stranger"}
    assert await ids(results) == [report(2).id]


async def test_counts_are_by_release_and_outcome(results: Results) -> None:
    unsure = report(3, outcome="unsure")
    skin = report(4, disease="skin", model="skin", version=2)
    batch = [report(1), confirmation(report(1), "parasitized"), report(2), confirmation(report(2)), unsure, skin]
    await results.store([("n1", batch)], NOW)
    assert await results.summary(ALL) == [
        {"disease": "malaria", "release": "malaria@1", "outcome": "recognised", "results": 2, "confirmed": 2, "agreed": 1},
        {"disease": "malaria", "release": "malaria@1", "outcome": "unsure", "results": 1, "confirmed": 0, "agreed": 0},
        {"disease": "skin", "release": "skin@2", "outcome": "recognised", "results": 1, "confirmed": 0, "agreed": 0},
    ]  # fmt: skip
    assert [row["results"] for row in await results.summary(Chosen("skin"))] == [1]
    assert [x.report.id for x in await results.latest(ALL, 2)] == [skin.id, unsure.id]


async def test_since_is_about_arrival(results: Results) -> None:
    await results.store([("n1", [report(1)])], NOW - timedelta(days=3))
    await results.store([("n1", [report(2)])], NOW)
    assert await ids(results, Chosen(since=NOW - timedelta(days=1))) == [report(2).id]
    assert await ids(results, Chosen(since=NOW - timedelta(days=3))) == [report(1).id, report(2).id]


async def test_exports_hold_what_was_chosen_and_replace_nothing_unasked(results: Results, tmp_path: Path) -> None:
    many = [report(number) for number in range(2500)]  # more than two pages
    await results.store([("n1", many), ("n2", [report(9000, disease="skin")])], NOW)
    async with await KnowledgeBase.open(tmp_path / "kb.sqlite") as knowledge:
        await knowledge.replace_all(seed_entries())
        table, bundle = tmp_path / "r.csv", tmp_path / "r.json"
        assert await export_results(results, ALL, table, "csv", knowledge, NOW, force=False) == 2501
        rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
        assert [row["id"] for row in rows[:2500]] == [r.id for r in many]
        assert (rows[-1]["node"], rows[-1]["site"]) == ("n2", "site of n2")
        assert await export_results(results, Chosen("skin"), bundle, "fhir", knowledge, NOW, force=False) == 1
        Bundle.model_validate(json.loads(bundle.read_text("utf-8")))
        assert '"B54"' in bundle.read_text("utf-8")
        with pytest.raises(CoordinatorError) as caught:
            await export_results(results, ALL, table, "csv", knowledge, NOW, force=False)
        assert caught.value.code == "results.export_exists"
        assert await export_results(results, Chosen("skin"), table, "csv", knowledge, NOW, force=True) == 1
