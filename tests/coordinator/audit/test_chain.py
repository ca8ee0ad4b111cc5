"""Edit, delete, reorder and truncate are each found; an act and its record are committed together or not at all."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from coordinator.access.tokens import Tokens
from coordinator.audit import Actor, record
from coordinator.audit.actor import acting, current
from coordinator.audit.checking import Verdict, export, online_keys, verify, verify_file
from coordinator.audit.head import HeadFile, read_heads
from coordinator.audit.log import Chosen, Trail
from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.releases import keys
from coordinator.store.database import Database
from coordinator.store.tables import audit, tokens
from protocols.errors import MedMeshError
from tests.support.coordinator import NOW

ROWS = 9


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with nine acts, whose head stands in the published timestamp too."""

    async def make(home: Path) -> None:
        await initialise(home, Config("test", 1))
        async with open_coordinator(home) as opened:
            for number in range(ROWS - 1):
                await opened.tokens.create(f"clinic {number}", ["train"], timedelta(days=1), NOW)
            await opened.releases.keep_fresh(NOW)

    home = tmp_path_factory.mktemp("template")
    asyncio.run(make(home))
    return home


@pytest.fixture
async def coordinator(template: Path, tmp_path: Path) -> AsyncIterator[Coordinator]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    async with open_coordinator(tmp_path) as opened:
        yield opened


async def verdict(opened: Coordinator, copies: tuple[Any, ...] = ()) -> Verdict:
    return await verify(opened.trail, HeadFile(opened.home), opened.releases.repository, copies, "copies")


def change(opened: Coordinator, *statements: str) -> None:
    with closing(sqlite3.connect(opened.home.database)) as database, database:
        for statement in statements:
            database.execute(statement)


def found(given: Verdict) -> set[tuple[int, str]]:
    return {(f.row, f.why) for f in given.findings}


async def test_untouched_trail_is_whole_and_its_head_is_published(coordinator: Coordinator) -> None:
    given = await verdict(coordinator)
    assert given.document()["ok"] and given.rows == ROWS and given.heads == 1
    head = await coordinator.trail.head()
    assert coordinator.releases.repository.timestamp().signed.unrecognized_fields["audit"] == head.document()  # type: ignore[union-attr]


@pytest.mark.parametrize("column", ["at", "actor_kind", "actor", "act", "subject", "detail", "hash", "previous"])
async def test_edit_is_found_in_every_column(coordinator: Coordinator, column: str) -> None:
    change(coordinator, f"UPDATE audit SET {column} = {column} || ' ' WHERE number = 4")
    assert (4, "edited") in found(await verdict(coordinator))


async def test_edit_with_its_own_hash_made_anew_breaks_the_chain_after_it(coordinator: Coordinator) -> None:
    from protocols.audit import digest

    async with coordinator.database.begin() as connection:
        row = (await connection.execute(select(audit).where(audit.c.number == 4))).one()
        new = digest(4, row.at, ("user", "nobody"), row.act, row.subject, row.detail, row.previous)
        values = {"actor_kind": "user", "actor": "nobody", "hash": new}
        await connection.execute(audit.update().where(audit.c.number == 4).values(**values))
    assert found(await verdict(coordinator)) == {(5, "unchained")}


async def test_deleted_row_is_found(coordinator: Coordinator) -> None:
    change(coordinator, "DELETE FROM audit WHERE number = 4")
    assert found(await verdict(coordinator)) == {(4, "missing")}


async def test_deleted_row_is_found_when_the_others_are_numbered_anew(coordinator: Coordinator) -> None:
    change(
        coordinator,
        "DELETE FROM audit WHERE number = 4",
        *(f"UPDATE audit SET number = {n - 1} WHERE number = {n}" for n in range(5, ROWS + 1)),
    )
    assert (4, "edited") in found(await verdict(coordinator)) and (ROWS, "truncated") in found(
        await verdict(coordinator)
    )


async def test_reordered_rows_are_found(coordinator: Coordinator) -> None:
    change(
        coordinator,
        "UPDATE audit SET number = 100 WHERE number = 4",
        "UPDATE audit SET number = 4 WHERE number = 5",
        "UPDATE audit SET number = 5 WHERE number = 100",
    )
    assert {(4, "edited"), (5, "edited")} <= found(await verdict(coordinator))


async def test_truncation_is_found_by_the_signed_head_and_stays_visible(coordinator: Coordinator) -> None:
    change(coordinator, "DELETE FROM audit WHERE number > 6")
    assert found(await verdict(coordinator)) == {(7, "truncated")}
    for _ in range(3):  # as many acts again do not hide it
        await coordinator.tokens.create(None, ["train"], timedelta(days=1), NOW)
    assert found(await verdict(coordinator)) == {(ROWS, "rewritten")}


async def test_everything_deleted_is_found(coordinator: Coordinator) -> None:
    change(coordinator, "DELETE FROM audit")
    assert found(await verdict(coordinator)) == {(1, "truncated")}


async def test_whoever_holds_store_and_key_is_found_by_a_nodes_copy(coordinator: Coordinator, tmp_path: Path) -> None:
    repository, file = coordinator.releases.repository, HeadFile(coordinator.home)
    copy = repository.timestamp().to_dict()
    (tmp_path / "heads.json").write_text(json.dumps({"heads": [copy]}))
    change(coordinator, "DELETE FROM audit WHERE number > 6")
    coordinator.home.audit_head.unlink()
    tail = await coordinator.trail.head()
    assert tail is not None
    file.advance(tail)  # signed anew, with the real key
    repository.keep_fresh(keys.online(coordinator.home), NOW + timedelta(minutes=1))
    assert (await verdict(coordinator)).findings == []
    assert found(await verdict(coordinator, tuple(read_heads(tmp_path / "heads.json")))) == {(7, "truncated")}


async def test_head_file_removed_is_found(coordinator: Coordinator) -> None:
    coordinator.home.audit_head.unlink()
    assert found(await verdict(coordinator)) == {(ROWS, "no_head")}


async def test_head_that_nobody_signed_proves_nothing(coordinator: Coordinator) -> None:
    copy = coordinator.releases.repository.timestamp().to_dict()
    copy["signed"]["audit"]["count"] = 99
    for copies in ((copy,), ({"signed": {"audit": {}}, "signatures": []},), ("text",)):
        with pytest.raises(CoordinatorError) as caught:
            await verdict(coordinator, copies)
        assert caught.value.code == "audit.bad_heads"


async def test_heads_outlive_a_rotation_of_the_online_key(coordinator: Coordinator) -> None:
    old = coordinator.releases.repository.timestamp().to_dict()
    home, repository = coordinator.home, coordinator.releases.repository
    new = keys.create(home.keys / "online.new.pem")
    repository.rotate_online([keys.load(p) for p in keys.root_paths(home)], new, repository.rollout(), NOW)
    (home.keys / "online.new.pem").replace(home.keys / "online.pem")
    assert len(online_keys(repository)) == 2
    assert (await verdict(coordinator, (old,))).findings == []


async def test_export_is_verified_anywhere(coordinator: Coordinator, tmp_path: Path) -> None:
    out, repository = tmp_path / "out.jsonl", coordinator.releases.repository
    assert await export(coordinator.trail, HeadFile(coordinator.home), repository, out) == ROWS
    given = verify_file(out, online_keys(repository), [repository.timestamp().to_dict()])
    assert given.document()["ok"] and given.signer == "key" and given.rows == ROWS
    assert verify_file(out, None, []).signer == "unchecked"
    lines = out.read_bytes().splitlines(keepends=True)
    for damaged, why in (
        ([*lines[:3], lines[3].replace(b"clinic", b"CLINIC"), *lines[4:]], (4, "edited")),
        ([*lines[:3], *lines[4:]], (4, "missing")),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], (3, "missing")),
        ([*lines[:5], lines[-1]], (6, "truncated")),
    ):
        out.write_bytes(b"".join(damaged))
        assert why in found(verify_file(out, None, []))
    foreign = keys.create(tmp_path / "other.pem").public_key
    with pytest.raises(CoordinatorError) as caught:
        verify_file(out, {foreign.keyid: foreign}, [])
    assert caught.value.code == "audit.bad_heads"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]\n", b"\xff\n", b'{"format":"medmesh.audit/1"}\n', b"x" * 200_000])
async def test_no_export_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "bad").write_bytes(text)
    with pytest.raises(MedMeshError) as caught:
        verify_file(tmp_path / "bad", None, [])
    assert caught.value.code == "audit.malformed"


async def test_act_that_fails_leaves_no_record_and_record_that_fails_no_act(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CoordinatorError):
        await coordinator.tokens.revoke("unknown")
    assert (await verdict(coordinator)).rows == ROWS

    async def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("coordinator.access.tokens.record", fail)
    with pytest.raises(OSError, match="gone"):
        await coordinator.tokens.create("never", ["train"], timedelta(days=1), NOW)
    async with coordinator.database.read() as connection:
        assert "never" not in set(await connection.scalars(select(tokens.c.owner)))
    assert (await verdict(coordinator)).rows == ROWS


async def test_head_that_cannot_be_signed_undoes_nothing_and_the_next_act_mends_it(coordinator: Coordinator) -> None:
    key = coordinator.home.keys / "online.pem"
    hidden = key.rename(key.with_suffix(".gone"))
    await coordinator.tokens.create("kept", ["train"], timedelta(days=1), NOW)
    assert HeadFile(coordinator.home).head().count == ROWS  # type: ignore[union-attr]
    hidden.rename(key)
    await coordinator.tokens.create("next", ["train"], timedelta(days=1), NOW)
    given = await verdict(coordinator)
    assert given.findings == [] and given.head is not None and given.head.count == ROWS + 2


async def test_many_at_once_make_one_chain(tmp_path: Path) -> None:
    await initialise(tmp_path, Config("test", 1))
    async with open_coordinator(tmp_path) as one, open_coordinator(tmp_path) as two:
        made = [o.tokens.create(f"t{n}", ["train"], timedelta(days=1), NOW) for n in range(15) for o in (one, two)]
        await asyncio.gather(*made)
        given = await verdict(one)
        assert given.findings == [] and given.rows == 31 and given.head is not None and given.head.count == 31


async def test_actor_is_whoever_acts_and_rows_are_found_by_what_they_say(coordinator: Coordinator) -> None:
    with acting(Actor("user", "mei")):
        await coordinator.enrolment.invite("Clinic North", ("canary",), "https://x", NOW + timedelta(days=1))
    assert current.get().kind == "local"
    trail = coordinator.trail
    (row,) = await trail.newest(Chosen(actor="mei"), 10)
    assert (row.act, row.subject, row.actor_kind) == ("node.invite", "Clinic North", "user")
    assert len(await trail.newest(Chosen(act="token"), 100)) == ROWS - 1
    assert [r.number for r in await trail.newest(Chosen(since=NOW + timedelta(hours=1)), 10)] == [ROWS + 1, 1]
    assert len(await trail.newest(Chosen(), 3)) == 3 and await trail.newest(Chosen(act="tok"), 3) == []
    assert [r.number for r in await trail.newest(Chosen(), 2, before=5)] == [4, 3]


async def test_what_must_not_be_on_record_is_a_defect(tmp_path: Path) -> None:
    database = Database.connect(f"sqlite+aiosqlite:///{tmp_path}/x.sqlite")
    await database.create()
    actor = Actor("system", "test")
    for act, subject, detail in (
        ("dataset.stolen", "x", {}),
        ("token.create", "x", {"deep": [{"secret": "s"}]}),
        ("token.create", "x" * 201, {}),
        ("token.create", "x", {"long": "x" * 9000}),
    ):
        with pytest.raises(ValueError, match=r"record|table of acts"):
            async with database.begin() as connection:
                await record(connection, actor, act, subject, detail, NOW)
    assert await Trail(database).head() is None
    await Tokens(database, "0" * 64).create("a" * 80, ["train"], timedelta(days=1), NOW)
    await database.close()
