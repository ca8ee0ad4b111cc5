"""Saved, found again, confirmed, forgotten; and nothing readable on the disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from edge_node.errors import EdgeError
from edge_node.outbox.history import Remembered
from tests.edge_node.support.outbox import COORDINATOR, OTHER_COORDINATOR, Bench, Coordinator
from tests.edge_node.support.results import CASE, FILE, result


async def found(bench: Bench, text: str | None = None, disease: str | None = None, most: int = 20) -> list[Remembered]:
    async with bench.outbox.history() as history:
        return (await history.search(text, disease, most)).results


async def refusal(bench: Bench, reference: str, label: str = "uninfected") -> str:
    with pytest.raises(EdgeError) as caught:
        await bench.confirm(reference, label)
    return caught.value.code


async def test_each_result_gets_an_id_of_its_own_and_is_shown_again_as_it_was(bench: Bench) -> None:
    async with bench.outbox.history(create=True) as history:
        kept = await history.save([result(1), result(1)])
        assert len({k["id"] for k in kept}) == 2 and all(len(k["id"]) == 32 for k in kept)
        shown = await history.show(kept[0]["id"])
    assert shown.result == kept[0] == {**result(1), "id": kept[0]["id"]}
    assert (shown.made, shown.state, shown.word) == (bench.clock.now, "queued", None)


async def test_saving_the_same_result_again_changes_nothing(bench: Bench) -> None:
    first = await bench.save(result(1) | {"id": "0" * 32})
    assert first == await bench.save(result(1) | {"id": "0" * 32})
    assert len(await found(bench)) == 1


async def test_the_newest_come_first_and_no_more_than_wanted(bench: Bench) -> None:
    ids = []
    for number in range(450):  # more than two pages
        ids += await bench.save(result(number)) if number % 150 == 0 else []
    async with bench.outbox.history() as history:
        ids += [kept["id"] for kept in await history.save([result(number) for number in range(450)])]
    assert [item.id for item in await found(bench, most=1000)] == ids[::-1]
    assert [item.id for item in await found(bench, most=2)] == [ids[-1], ids[-2]]


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("case-王-4711-2", 1),
        ("CASE", 4),
        ("2-img_2026", 1),
        ("疟疾", 4),
        ("ＰＡＲＡＳＩＴＩＺＥＤ", 4),
        ("wang", 0),
        ("skin", 1),
    ],
)
async def test_search_looks_at_case_file_disease_and_labels(bench: Bench, text: str, hits: int) -> None:
    await bench.save(*(result(number) for number in (1, 2, 3)), result(4, "skin"))
    assert len(await found(bench, text)) == hits


async def test_search_within_a_disease(bench: Bench) -> None:
    await bench.save(result(1), result(2, "skin"))
    assert [item.result["disease"] for item in await found(bench, "case", "skin")] == ["skin"]


async def test_the_last_word_counts(bench: Bench) -> None:
    (first,) = await bench.save(result(1))
    await bench.confirm(first[:8], "uninfected")
    await bench.confirm(first, "parasitized")
    (item,) = await found(bench, "parasitized")
    assert item.word is not None
    assert (item.word.label, item.word.entry, item.word.revision) == ("parasitized", "malaria", 2)


async def test_a_word_is_one_of_the_models_labels_or_other_and_never_free_text(bench: Bench) -> None:
    (first,) = await bench.save(result(1))
    await bench.confirm(first, "other")
    assert await refusal(bench, first, "Mr Wang has malaria") == "outbox.label_unknown"


async def test_what_is_not_there_or_not_clear_is_named(bench: Bench) -> None:
    assert await refusal(bench, "abcd") == "outbox.empty"
    await bench.save(result(1) | {"id": "abcd" + "0" * 28}, result(2) | {"id": "abcd" + "1" * 28})
    assert await refusal(bench, "ffff") == "outbox.unknown_result"
    assert await refusal(bench, "abc") == "outbox.unknown_result"  # too short to mean one
    assert await refusal(bench, "'; --") == "outbox.unknown_result"
    assert await refusal(bench, "ABCD") == "outbox.ambiguous_result"
    await bench.confirm("ABCD0")


async def test_only_its_owner_can_read_the_file_and_even_he_finds_nothing_in_it(bench: Bench) -> None:
    bench.keystore.silent = True
    (first,) = await bench.save(result(1))
    await bench.confirm(first, "uninfected")
    files = [path for path in bench.path.parent.iterdir() if path.name != "lock"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    data = b"".join(path.read_bytes() for path in files)
    for secret in (CASE, FILE, "parasitized", "uninfected", result(1)["sha256"], "malaria", "疟疾"):
        assert secret.encode() not in data
    assert first.encode() in data


async def test_a_result_with_an_altered_row_is_counted_and_hides_no_other(bench: Bench) -> None:
    ids = await bench.save(result(1), result(2), result(3))
    with closing(sqlite3.connect(bench.path)) as file, file:
        brief = file.execute("SELECT brief FROM record WHERE id = ?", (ids[0],)).fetchone()[0]
        file.execute("UPDATE record SET brief = ? WHERE id = ?", (brief, ids[1]))  # sealed, but for another record
    async with bench.outbox.history() as history:
        listed = await history.search(None, None, 20)
        assert ([item.id for item in listed.results], listed.unreadable) == ([ids[2], ids[0]], 1)
        with pytest.raises(EdgeError) as caught:
            await history.show(ids[1])
    assert caught.value.code == "outbox.damaged"


async def test_forgotten_is_gone_from_the_disk_with_its_words(bench: Bench) -> None:
    ids = await bench.save(*(result(number) for number in range(300)))
    await bench.confirm(ids[0])
    size = bench.path.stat().st_size
    async with bench.outbox.history() as history:
        assert await history.chosen(ids[0], None) == ([ids[0]], 2)
        assert await history.chosen(None, 1) == ([], 0)
        bench.clock.pass_days(2)
        chosen, unsent = await history.chosen(None, 1)
        assert (set(chosen), unsent) == (set(ids), 301)
        await history.forget(chosen)
    assert await found(bench) == []
    assert bench.path.stat().st_size < size / 4
    assert ids[0].encode() not in bench.path.read_bytes()
    assert (await bench.outbox.counts()).queued == 0


@pytest.mark.parametrize("what", [(None, None), ("abcd", 3)])
async def test_forgetting_needs_one_of_two(bench: Bench, what: tuple[str | None, int | None]) -> None:
    await bench.save(result(1))
    async with bench.outbox.history() as history:
        with pytest.raises(EdgeError) as caught:
            await history.chosen(*what)
    assert caught.value.code == "outbox.forget_what"


async def test_a_full_outbox_refuses_and_keeps_what_it_has(bench: Bench) -> None:
    bench.options["most_waiting"] = 3
    ids = await bench.save(result(1), result(2))
    for attempt in (bench.save(result(3), result(4)), bench.save(*(result(n) for n in range(9)))):
        with pytest.raises(EdgeError) as caught:
            await attempt
        assert (caught.value.code, caught.value.kind.exit_code) == ("outbox.full", 6)
    await bench.confirm(ids[0])
    assert await refusal(bench, ids[1]) == "outbox.full"
    assert [item.id for item in await found(bench)] == ids[::-1]
    assert (await bench.outbox.counts()).queued == 3


async def test_what_was_acknowledged_goes_after_its_time_and_the_unsent_never(bench: Bench) -> None:
    coordinator = Coordinator()
    old, corrected = await bench.save(result(1), result(2))
    await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    bench.clock.pass_days(89)
    await bench.confirm(corrected)
    (unsent,) = await bench.save(result(3))
    await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    assert len(await found(bench)) == 3
    bench.clock.pass_days(2)
    bench.joined = OTHER_COORDINATOR
    (elsewhere,) = await bench.save(result(4))
    bench.joined = COORDINATOR
    await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    assert [item.id for item in await found(bench)] == [elsewhere, unsent, corrected], "the word was sent two days ago"
    bench.clock.pass_days(1000)
    await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    assert [(item.id, item.state) for item in await found(bench)] == [(elsewhere, "elsewhere")]
    assert old not in [item.id for item in await found(bench)]
