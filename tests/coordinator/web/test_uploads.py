"""Uploading over HTTP: parts in any order, nothing half done, nobody else's data."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from coordinator.store.tables import datasets
from coordinator.uploads.store import Uploads, data_path, groups_path
from coordinator.web import bodies
from protocols import access
from tests.support.uploads import LIMITS, PART, Office, declaration, digest, grant, office, put

DATA = os.urandom(3 * PART + 100)
PARTS = [DATA[n : n + PART] for n in range(0, len(DATA), PART)]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as found:
        yield found


@asynccontextmanager
async def uploader(opened: Office, owner: str = "north", *more: str) -> AsyncIterator[httpx.AsyncClient]:
    token = await opened.token(access.DATASET_UPLOAD, *more, owner=owner)
    async with opened.uploader(token) as client:
        yield client


async def start(client: httpx.AsyncClient, data: bytes = DATA, **dataset: Any) -> dict[str, Any]:
    answer = await client.post("/v1/uploads", json=declaration(data, **dataset))
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def kept(opened: Office) -> list[str]:
    folder = opened.coordinator.home.uploads
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


async def test_parts_come_in_any_order_and_the_whole_is_what_was_sent(opened: Office) -> None:
    async with uploader(opened) as client:
        state = await start(client, groups_csv=base64.b64encode(b"file,group\n").decode())
        upload = state["upload"]
        assert (state["parts"], state["missing"], state["job"]) == (4, [[0, 3]], None)
        for number in (3, 1):
            assert (await put(client, upload, number, PARTS[number])).status_code == 200
        state = (await client.get(f"/v1/uploads/{upload}")).json()
        assert (state["missing"], state["received_bytes"]) == ([[0, 0], [2, 2]], PART + 100)
        assert code(await client.post(f"/v1/uploads/{upload}/complete")) == (409, "upload.incomplete")
        for number in (2, 0):
            await put(client, upload, number, PARTS[number])
        done = await client.post(f"/v1/uploads/{upload}/complete")
        assert done.status_code == 202
        again = await client.post(f"/v1/uploads/{upload}/complete")
        assert again.json() == done.json()
        job = (await client.get(f"/v1/jobs/{done.json()['job']}")).json()
        assert (job["state"], job["kind"], job["subject"], job["owner"]) == ("queued", "import", "malaria", "north")
    home = opened.coordinator.home
    assert data_path(home, upload, {}).read_bytes() == DATA
    assert groups_path(home, upload).read_bytes() == b"file,group\n"


async def test_the_same_declaration_finds_the_upload_again_after_a_restart_of_both_sides(tmp_path: Path) -> None:
    async with office(tmp_path) as before, uploader(before) as client:
        first = await start(client)
        await put(client, first["upload"], 2, PARTS[2])
    async with office(tmp_path) as after, uploader(after) as client:  # another token of the same owner
        again = await client.post("/v1/uploads", json=declaration(DATA))
        assert (again.status_code, again.json()["upload"]) == (200, first["upload"])
        assert again.json()["missing"] == [[0, 1], [3, 3]]
        assert len(kept(after)) == 1
        assert (await start(client, first_frame=True))["upload"] != first["upload"]


async def test_the_same_part_twice_is_the_same_and_another_content_is_refused(opened: Office) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        first = await put(client, upload, 1, PARTS[1])
        again = await put(client, upload, 1, PARTS[1])
        assert (again.status_code, again.json()) == (200, first.json())
        assert code(await put(client, upload, 1, os.urandom(PART))) == (409, "upload.part_differs")
    assert data_path(opened.coordinator.home, upload, {}).read_bytes()[PART : 2 * PART] == PARTS[1]


async def test_a_damaged_short_or_long_part_stays_missing(opened: Office) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        wrong = {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}
        assert code(await put(client, upload, 0, PARTS[0], **wrong)) == (422, "upload.part_digest")
        assert code(await put(client, upload, 0, PARTS[0][:-1])) == (422, "upload.part_size")
        assert code(await put(client, upload, 0, PARTS[0] + b"x")) == (422, "upload.part_size")
        assert code(await put(client, upload, 3, PARTS[0])) == (422, "upload.part_size")
        assert code(await put(client, upload, 4, b"x")) == (404, "upload.part_unknown")
        state = (await client.get(f"/v1/uploads/{upload}")).json()
        assert state["missing"] == [[0, 3]]
        assert (await put(client, upload, 0, PARTS[0])).status_code == 200


@pytest.mark.parametrize("number", ["-1", "x", "1" * 30, "1" * 6000, "%00", "٣"])
async def test_numbers_that_are_none_are_not_found(opened: Office, number: str) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        answer = await client.put(f"/v1/uploads/{upload}/parts/{number}", content=b"", headers=digest(b""))
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "header",
    ["", "sha-256=abc", "sha-256=:abc:", "md5=:AAAA:", "sha-256=:" + "A" * 44 + ":", "sha-256=:" + "=" * 44 + ":"],
)
async def test_a_part_without_its_digest_is_refused(opened: Office, header: str) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        answer = await put(client, upload, 0, PARTS[0], **{"Content-Digest": header})
        assert code(answer) == (422, "upload.malformed")


async def test_content_types_are_checked_and_bodies_bounded(opened: Office) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        assert code(await put(client, upload, 0, PARTS[0], **{"Content-Type": "text/html"})) == (415, "api.media_type")
        assert code(await client.post("/v1/uploads", content=b"{}")) == (415, "api.media_type")
        kinds = {"Content-Type": "application/json"}
        assert code(await client.post("/v1/uploads", content=b"{", headers=kinds)) == (422, "upload.malformed")

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100_000):
                yield b"x" * 65536
            raise AssertionError("read to the end")

        assert code(await client.post("/v1/uploads", content=endless(), headers=kinds)) == (413, "api.too_large")
        path = f"/v1/uploads/{upload}/parts/0"
        answer = await client.put(path, content=endless(), headers=digest(b""))
        assert code(answer) == (422, "upload.part_size")


async def test_a_sender_that_stops_or_drips_is_timed_out(opened: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IDLE_S", 0.05)
    monkeypatch.setattr(bodies, "GRACE_S", 0.1)

    async def stops() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        for body in (stops(), drips()):
            answer = await client.put(f"/v1/uploads/{upload}/parts/0", content=body, headers=digest(b""))
            assert code(answer) == (408, "api.slow")
        assert (await put(client, upload, 0, PARTS[0])).status_code == 200


async def test_uploads_of_others_are_not_there(opened: Office) -> None:
    async with uploader(opened) as north, uploader(opened, "south") as south:
        upload = (await start(north))["upload"]
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/complete")):
            assert code(await south.request(method, f"/v1/uploads/{upload}{path}")) == (404, "upload.unknown")
        assert code(await put(south, upload, 0, PARTS[0])) == (404, "upload.unknown")
        assert (await start(south))["upload"] != upload
        job = await _job(opened, north, upload)
        assert code(await south.get(f"/v1/jobs/{job}")) == (404, "job.unknown")
        assert code(await south.post(f"/v1/jobs/{job}/cancel")) == (404, "job.unknown")
        assert (await south.get("/v1/jobs")).json() == {"jobs": []}
        async with uploader(opened, "keeper", access.JOB_ANY) as keeper:
            assert len((await keeper.get("/v1/jobs")).json()["jobs"]) == 1
            assert (await keeper.post(f"/v1/jobs/{job}/cancel")).json()["state"] == "cancelled"
        shown = (await north.get(f"/v1/jobs/{job}", headers={"Accept-Language": "zh"})).json()
        assert shown["error"]["code"] == "job.cancelled" and "取消" in shown["error"]["message"]
        assert code(await north.post(f"/v1/jobs/{job}/cancel")) == (409, "job.ended")


async def _job(opened: Office, client: httpx.AsyncClient, upload: str) -> str:
    for number, part in enumerate(PARTS):
        await put(client, upload, number, part)
    return str((await client.post(f"/v1/uploads/{upload}/complete")).json()["job"])


async def test_a_data_set_of_somebody_else_is_not_touched(opened: Office) -> None:
    async with opened.coordinator.database.begin() as connection:
        await connection.execute(datasets.insert().values(name="malaria", disease="malaria", created="", reports=[]))
    async with uploader(opened) as client:
        assert code(await client.post("/v1/uploads", json=declaration(DATA))) == (403, "dataset.not_yours")
        assert kept(opened) == []
    async with uploader(opened, "north", access.DATASET_ANY) as client:
        assert (await client.post("/v1/uploads", json=declaration(DATA))).status_code == 201


async def test_training_and_models_need_their_own_scopes(opened: Office) -> None:
    model = {**declaration(DATA), "kind": "model", "model": {"format": "tflite", "description": {}}}
    del model["dataset"]
    train = {"dataset": "malaria", "effort": "quick"}
    async with uploader(opened) as client:
        assert code(await client.post("/v1/uploads", json=declaration(DATA, train="quick"))) == (403, "token.scope")
        assert code(await client.post("/v1/uploads", json=model)) == (403, "token.scope")
        assert code(await client.post("/v1/trainings", json=train)) == (403, "token.scope")
    async with uploader(opened, "north", access.TRAIN, access.MODEL_UPLOAD) as client:
        assert (await client.post("/v1/uploads", json=declaration(DATA, train="quick"))).status_code == 201
        assert (await client.post("/v1/uploads", json=model)).status_code == 201
        assert code(await client.post("/v1/trainings", json=train)) == (404, "dataset.unknown")
        async with opened.coordinator.database.begin() as connection:
            made = {"disease": "malaria", "created": "", "reports": []}
            await connection.execute(datasets.insert().values(name="malaria", **made))
        assert code(await client.post("/v1/trainings", json=train)) == (403, "dataset.not_yours")
        assert code(await client.post("/v1/trainings", json={**train, "x": 1})) == (422, "upload.malformed")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"largest_bytes": len(DATA) - 1}, (413, "upload.too_large")),
        ({"owner_bytes": 2 * len(DATA) - 1}, (429, "upload.quota")),
        ({"all_bytes": 2 * len(DATA) - 1}, (429, "upload.quota")),
        ({"owner_open": 1}, (429, "upload.quota")),
        ({"all_open": 1}, (429, "upload.quota")),
        ({"spare_bytes": 1 << 60}, (507, "upload.no_room")),
    ],
    ids=str,
)
async def test_quotas(tmp_path: Path, limit: dict[str, int], expected: tuple[int, str]) -> None:
    async with office(tmp_path, replace(LIMITS, **limit)) as opened, uploader(opened) as client:
        if not {"largest_bytes", "spare_bytes"} & set(limit):
            first = await start(client)
        assert code(await client.post("/v1/uploads", json=declaration(DATA, name="other"))) == expected
        if expected[0] == 429:
            assert kept(opened) == [first["upload"]]
            await client.delete(f"/v1/uploads/{first['upload']}")
            await start(client, name="other")


async def test_one_owner_cannot_take_all_connections(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def waits() -> AsyncIterator[bytes]:
        yield PARTS[0]
        await release.wait()

    async with office(tmp_path, replace(LIMITS, owner_streams=1)) as opened, uploader(opened) as client:
        upload = (await start(client))["upload"]
        path = f"/v1/uploads/{upload}/parts/0"
        first = asyncio.create_task(client.put(path, content=waits(), headers=digest(PARTS[0])))
        await asyncio.sleep(0.05)
        assert code(await put(client, upload, 0, PARTS[0])) == (409, "upload.part_busy")
        assert code(await put(client, upload, 1, PARTS[1])) == (429, "upload.busy")
        async with uploader(opened, "south") as south:
            other = (await start(south))["upload"]
            assert (await put(south, other, 0, PARTS[0])).status_code == 200
        release.set()
        assert (await first).status_code == 200
        assert (await put(client, upload, 1, PARTS[1])).status_code == 200


async def test_a_full_disk_is_said_and_what_arrived_stays(opened: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        await put(client, upload, 0, PARTS[0])
        true = os.pwrite

        def full(descriptor: int, data: bytes, offset: int) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        answer = await put(client, upload, 1, PARTS[1])
        assert code(answer) == (507, "upload.no_room")
        monkeypatch.setattr(os, "pwrite", true)
        assert (await client.get(f"/v1/uploads/{upload}")).json()["missing"] == [[1, 3]]
        assert (await put(client, upload, 1, PARTS[1])).status_code == 200


async def test_what_is_given_up_or_abandoned_is_deleted(opened: Office) -> None:
    async with uploader(opened) as client:
        first, second = (await start(client))["upload"], (await start(client, name="other"))["upload"]
        await put(client, first, 0, PARTS[0])
        assert (await client.delete(f"/v1/uploads/{first}")).status_code == 204
        assert code(await client.delete(f"/v1/uploads/{first}")) == (404, "upload.unknown")
        assert code(await put(client, first, 1, PARTS[1])) == (404, "upload.unknown")
        assert kept(opened) == [second]
        opened.clock.pass_(hours=LIMITS.abandoned_h - 1)
        assert await opened.coordinator.uploads.sweep(opened.clock()) == 0
        await put(client, second, 0, PARTS[0])  # a sign of life
        opened.clock.pass_(hours=LIMITS.abandoned_h - 1)
        assert await opened.coordinator.uploads.sweep(opened.clock()) == 0
        opened.clock.pass_(hours=2)
        assert await opened.coordinator.uploads.sweep(opened.clock()) == 1
        assert kept(opened) == []


async def test_a_complete_upload_goes_with_its_job(opened: Office) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        job = await _job(opened, client, upload)
        assert code(await client.delete(f"/v1/uploads/{upload}")) == (409, "upload.complete")
        opened.clock.pass_(hours=2 * LIMITS.abandoned_h)
        assert await opened.coordinator.uploads.sweep(opened.clock()) == 0  # a long queue loses nothing
        await client.post(f"/v1/jobs/{job}/cancel")
        assert (await start(client))["upload"] != upload  # a new try, not the one that was cancelled
        assert await opened.coordinator.uploads.sweep(opened.clock()) == 1


async def test_an_upload_cancelled_while_a_part_arrives_leaves_nothing(opened: Office) -> None:
    release = asyncio.Event()

    async def waits() -> AsyncIterator[bytes]:
        yield PARTS[0]
        await release.wait()

    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        headers = digest(PARTS[0])
        sending = asyncio.create_task(client.put(f"/v1/uploads/{upload}/parts/0", content=waits(), headers=headers))
        await asyncio.sleep(0.05)
        await client.delete(f"/v1/uploads/{upload}")
        release.set()
        assert code(await sending) == (404, "upload.unknown")
    assert kept(opened) == []


async def test_two_processes_that_take_the_same_part_end_with_one(opened: Office) -> None:
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
        coordinator = opened.coordinator
        other = Uploads(coordinator.database, coordinator.home, LIMITS)  # as another serve would have it
        told = digest(PARTS[0])["Content-Digest"]
        sha256 = base64.b64decode(told.removeprefix("sha-256=:").removesuffix(":")).hex()

        async def blocks() -> AsyncIterator[bytes]:
            await asyncio.sleep(0.01)
            yield PARTS[0]

        answers = await asyncio.gather(
            *(u.receive(upload, 0, sha256, blocks(), grant(), opened.clock()) for u in (other, coordinator.uploads))
        )
        assert answers[0] == answers[1]
        assert (await client.get(f"/v1/uploads/{upload}")).json()["missing"] == [[1, 3]]


async def test_folders_that_a_crash_left_without_a_row_are_swept_when_they_are_old(opened: Office) -> None:
    uploads = opened.coordinator.home.uploads
    for name, age_s in (("old", 7200), ("new", 60)):
        (uploads / name).mkdir(parents=True)
        then = opened.clock().timestamp() - age_s
        os.utime(uploads / name, (then, then))
    async with uploader(opened) as client:
        upload = (await start(client))["upload"]
    await opened.coordinator.uploads.sweep(opened.clock())
    assert kept(opened) == sorted([upload, "new"])
