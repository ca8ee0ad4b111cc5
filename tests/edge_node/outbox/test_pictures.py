"""Copies of pictures beside results."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.capture.keep import Kept
from edge_node.errors import EdgeError
from tests.edge_node.support.outbox import Bench, Coordinator
from tests.edge_node.support.results import result

COPY = Kept(b"\xff\xd8 a picture " * 40, ".jpg")


async def keep(bench: Bench, copy: Kept, *results: str) -> None:
    async with bench.outbox.history() as history:
        await history.pictures.keep(copy, results)


async def kept(bench: Bench, name: str) -> Kept | None:
    async with bench.outbox.history() as history:
        return await history.pictures.of(name)


async def test_a_picture_comes_back_as_it_was_and_lies_sealed(bench: Bench) -> None:
    first, second, other = await bench.save(result(), result(), result())
    await keep(bench, COPY, first, second)
    assert await kept(bench, first) == await kept(bench, second) == COPY
    assert await kept(bench, other) is None
    files = [path for path in bench.path.parent.iterdir() if path.name.startswith(bench.path.name)]
    assert not any(b"a picture" in path.read_bytes() for path in files)


async def test_it_goes_with_the_last_result_that_it_belongs_to(bench: Bench) -> None:
    first, second = await bench.save(result(), result())
    await keep(bench, COPY, first, second)
    async with bench.outbox.history() as history:
        await history.forget([first])
        assert await history.pictures.of(second) == COPY
        await history.forget([second])
        assert (await history.pictures._file.rows("SELECT count(*) FROM picture"))[0][0] == 0


async def test_where_room_is_short_the_unconfirmed_and_then_the_oldest_go(bench: Bench) -> None:
    bench.options["most_picture_bytes"] = 3 * (len(COPY.data) + 60)
    names = await bench.save(*(result() for _ in range(5)))
    await bench.confirm(names[0])
    for name in names:
        await keep(bench, COPY, name)
    left = [name for name in names if await kept(bench, name) is not None]
    assert left == [names[0], names[3], names[4]]


async def test_nothing_is_kept_where_nothing_may_be(bench: Bench) -> None:
    bench.options["most_picture_bytes"] = 0
    (name,) = await bench.save(result())
    await keep(bench, COPY, name)
    assert await kept(bench, name) is None


async def test_a_confirmed_picture_outlives_the_time_that_results_are_kept(bench: Bench) -> None:
    confirmed, silent = await bench.save(result(), result())
    await bench.confirm(confirmed)
    await keep(bench, COPY, confirmed)
    await keep(bench, COPY, silent)
    coordinator = Coordinator()
    await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    bench.clock.pass_days(120)
    await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    assert await kept(bench, confirmed) == COPY
    assert await kept(bench, silent) is None


async def test_an_altered_picture_is_not_shown(bench: Bench) -> None:
    (name,) = await bench.save(result())
    await keep(bench, COPY, name)
    async with bench.outbox.history() as history:
        async with history.pictures._file.transaction():
            await history.pictures._file.run("UPDATE picture SET sealed = substr(sealed, 1, 40)")
        with pytest.raises(EdgeError) as damaged:
            await history.pictures.of(name)
    assert damaged.value.code == "outbox.damaged"


async def test_a_history_of_the_version_before_is_taken_over(bench: Bench, tmp_path: Path) -> None:
    (name,) = await bench.save(result())
    async with bench.outbox.history() as history:
        file = history.pictures._file
        async with file.transaction():
            for what in ("TRIGGER unshown", "TABLE shown", "TABLE picture"):
                await file.run(f"DROP {what}")
            await file.run("PRAGMA user_version = 1")
    await keep(bench, COPY, name)
    assert await kept(bench, name) == COPY
