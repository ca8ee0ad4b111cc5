"""What people do on the pages: each act reaches the services, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from coordinator.access.roles import Role
from coordinator.audit.log import Chosen
from coordinator.errors import CoordinatorError
from coordinator.jobs import run
from coordinator.jobs.queue import LEASE
from coordinator.releases.asking import Asked
from coordinator.releases.remote import fetch
from coordinator.uploads.packing import stream
from coordinator.uploads.store import data_path
from coordinator.web.following import Following
from coordinator.web.pages import knowledge
from tests.support.filled import fill
from tests.support.pages import Browser, browsing, text_of
from tests.support.pictures import write_set

ZIP = b"PK\x03\x04" + bytes(range(256)) * 40


async def state(browser: Browser, release: str) -> str:
    return str((await browser.office.coordinator.releases.show(release))["state"])


async def test_a_release_is_paused_resumed_and_withdrawn(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.RELEASE_MANAGER) as browser:
        await fill(browser.office)
        for act, expected in (("pause", "paused"), ("resume", "released")):
            answer = await browser.post(f"/releases/malaria@2/{act}")
            assert answer.headers["location"].startswith("/releases/malaria@2?done=")
            assert await state(browser, "malaria@2") == expected
        await browser.post("/releases/malaria@2/rollout", percent="40", groups="pilot， north")
        shown = await browser.office.coordinator.releases.show("malaria@2")
        assert (shown["percent"], shown["groups"]) == (40, ["pilot", "north"])
        for fields in ({"reason": "wrong"}, {"reason": "", "sure": "on"}, {"reason": "x" * 501, "sure": "on"}):
            await browser.post("/releases/malaria@2/withdraw", 422, **fields)
        assert await state(browser, "malaria@2") == "released"
        await browser.post("/releases/malaria@2/withdraw", reason="harmed\nnobody", sure="on")
        shown = await browser.office.coordinator.releases.show("malaria@2")
        assert (shown["state"], shown["reason"]) == ("withdrawn", "harmed nobody")
        acts = [r.act for r in await browser.office.coordinator.trail.newest(_everything(), 20)]
        assert acts[:2] == ["release.withdraw", "release.rollout"]
        who = {r.actor for r in await browser.office.coordinator.trail.newest(_everything(), 4)}
        assert who == {"Ada"}, "the record names the person who was signed in"


def _everything() -> Chosen:
    return Chosen()


@pytest.mark.parametrize("percent", ["101", "-1", "abc", "", "１０", "1e1"])
async def test_a_share_is_a_whole_number_of_percent(tmp_path: Path, percent: str) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        await browser.post("/releases/malaria@2/rollout", 422, percent=percent)
        assert (await browser.office.coordinator.releases.show("malaria@2"))["percent"] == 20


@pytest.mark.parametrize("role", [Role.VIEWER, Role.UPLOADER])
async def test_who_may_only_look_gets_no_buttons_and_changes_nothing(tmp_path: Path, role: Role) -> None:
    async with browsing(tmp_path / "home", role) as browser:
        await fill(browser.office)
        page = (await browser.get("/releases/malaria@2")).text
        assert "/releases/malaria@2/pause" not in page
        await browser.post("/releases/malaria@2/pause", 403)
        assert await state(browser, "malaria@2") == "released"


async def test_a_version_is_proposed_by_a_job_of_its_own(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        answer = await browser.post("/models/malaria@8/propose", notes="More.", floor="on")
        job = re.match(r"/jobs/([0-9a-f]+)", answer.headers["location"])
        assert job is not None
        shown = await browser.office.coordinator.jobs.show(job[1])
        assert (shown["kind"], shown["state"], shown["owner"]) == ("propose", "queued", "Ada")
        await browser.post(f"/jobs/{job[1]}/cancel")
        assert (await browser.office.coordinator.jobs.show(job[1]))["state"] == "cancelled"


async def test_the_page_asks_for_a_signature_over_exactly_what_the_coordinator_hands_out(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        releases, page = browser.office.coordinator.releases, (await browser.get("/releases/malaria@1")).text
        line = re.search(r"medmesh-coordinator release approve (medmesh-approve1\.[A-Za-z0-9_-]+) --key", page)
        assert line is not None
        asked = Asked.decode(line[1])
        assert asked.release == "malaria@1"
        assert asked.ca_sha256 == browser.office.coordinator.authority.fingerprint

        class There:
            def __init__(self, document: dict[str, Any]) -> None:
                self.document = document

            def get(self, path: str) -> dict[str, Any]:
                return self.document

        handed = await releases.request("malaria@1")
        assert fetch(There(handed), asked.release, asked.digest).release == "malaria@1"  # type: ignore[arg-type]
        other = await releases.request("malaria@7")
        with pytest.raises(CoordinatorError) as refused:
            fetch(There(other), asked.release, asked.digest)  # type: ignore[arg-type]
        assert refused.value.code == "approve.changed"


@pytest.mark.parametrize(
    "line",
    ["", "medmesh-approve1.", "medmesh-approve1.!!", "medmesh-approve1.W10", "other1.W10", "medmesh-approve1." + "A" * 5000,
     Asked("http://plain", "a" * 64, "m@1", "b" * 64).encode(), Asked("https://x", "a", "m@1", "b" * 64).encode(),
     Asked("https://x", "a" * 64, "../m@1", "b" * 64).encode()],
)  # fmt: skip
def test_a_line_that_is_no_request_is_refused(line: str) -> None:
    with pytest.raises(CoordinatorError) as refused:
        Asked.decode(line)
    assert refused.value.code == "approve.bad_request"


def test_a_request_survives_being_copied() -> None:
    asked = Asked("https://h:8765", "a" * 64, "malaria@12", "b" * 64)
    text = asked.encode()
    assert Asked.decode(f"  {text[:50]}\n{text[50:]} ") == asked


async def test_a_label_is_mapped_and_a_wrong_entry_is_not(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.RELEASE_MANAGER) as browser:
        await fill(browser.office)
        await browser.post("/datasets/malaria/label", 404, label="parasitized", entry="no-such-entry")
        await browser.post("/datasets/malaria/label", label="parasitized", entry="malaria")
        page = text_of((await browser.get("/datasets/malaria")).text)
        assert "confirmed by a person" in page and "not mapped" not in page


async def test_an_uploader_maps_only_their_own_labels(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        await fill(browser.office)  # the data set is north's
        await browser.post("/datasets/malaria/label", 403, label="parasitized", entry="malaria")


async def sent(browser: Browser, status: int, data: bytes = ZIP, **fields: str) -> str:
    token = browser.client.headers.pop("X-CSRF-Token")
    answer = await browser.client.post(
        f"/upload?csrf={token}", data={"disease": "malaria", **fields}, files={"file": ("set.zip", data)}
    )
    browser.client.headers["X-CSRF-Token"] = token
    assert answer.status_code == status, text_of(answer.text)[:400]
    return answer.headers.get("location", "")


def kept(browser: Browser) -> list[Path]:
    folder = browser.office.coordinator.home.uploads
    return list(folder.iterdir()) if folder.exists() else []


async def test_an_upload_becomes_a_job_with_the_bytes_that_were_sent(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        where = await sent(browser, 303, name="ward", train="quick")
        job = await browser.office.coordinator.jobs.claim("r", 1, 3, browser.office.clock())
        assert job is not None and where.startswith(f"/jobs/{job.id}")
        options = job.request.options
        assert (options["size"], options["sha256"]) == (len(ZIP), hashlib.sha256(ZIP).hexdigest())
        assert (options["name"], options["train"], job.request.owner) == ("ward", "quick", "Ada")
        path = data_path(browser.office.coordinator.home, str(job.request.upload), options)
        assert path.read_bytes() == ZIP


async def test_the_trail_names_the_person_for_whom_a_job_imported(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        coordinator = browser.office.coordinator
        await sent(browser, 303, b"".join(stream(write_set(tmp_path / "set", 6))))
        job = await coordinator.jobs.claim("r", 1, 3, browser.office.clock())
        assert job is not None
        await run._run(coordinator.home.root, job.id, "r", io.StringIO())  # what the job's own process does
        assert (await coordinator.jobs.show(job.id))["state"] == "done"
        first = (await coordinator.trail.newest(_everything(), 1))[0]
        assert (first.act, first.actor_kind, first.actor) == ("dataset.import", "user", "Ada")


@pytest.mark.parametrize(
    ("status", "fields", "data"),
    [
        (422, {"disease": "NO GOOD"}, ZIP),
        (422, {"train": "for ever"}, ZIP),
        (422, {}, b""),
        (422, {"name": "../x"}, ZIP),
    ],
)
async def test_a_wrong_upload_leaves_nothing(tmp_path: Path, status: int, fields: dict[str, str], data: bytes) -> None:
    async with browsing(tmp_path / "home") as browser:
        await sent(browser, status, data, **fields)
        assert kept(browser) == []
        assert await browser.office.coordinator.jobs.list() == []


async def test_an_upload_without_the_sessions_token_leaves_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        del browser.client.headers["X-CSRF-Token"]
        answer = await browser.client.post("/upload?csrf=no", data={"disease": "m"}, files={"file": ("s.zip", ZIP)})
        assert answer.status_code == 403 and kept(browser) == []


@pytest.mark.parametrize("cut", [1, 200, len(ZIP)])
async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path, cut: int) -> None:
    async with browsing(tmp_path / "home") as browser:
        form = b'--x\r\nContent-Disposition: form-data; name="disease"\r\n\r\nmalaria\r\n'
        form += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n' + ZIP
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(len(form) + 40)}
        token = browser.client.headers["X-CSRF-Token"]
        answer = await browser.client.post(f"/upload?csrf={token}", content=form[:-cut], headers=headers)
        assert answer.status_code in (400, 408, 422), text_of(answer.text)[:300]
        assert kept(browser) == []


async def test_an_upload_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        token = browser.client.headers["X-CSRF-Token"]
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(1 << 45)}
        answer = await browser.client.post(f"/upload?csrf={token}", content=b"", headers=headers)
        assert answer.status_code == 413 and kept(browser) == []


async def test_progress_reaches_the_page_within_a_second(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        jobs, loop = browser.office.coordinator.jobs, asyncio.get_running_loop()
        job = await jobs.claim("r", 1, 3, browser.office.clock() + LEASE * 200)
        assert job is not None
        stream = Following().answer(lambda: jobs.show(job.id), lambda found: f"{found['done']} of {found['total']}")
        events = stream.body_iterator  # type: ignore[attr-defined]
        told = [await anext(events), await anext(events)]
        assert told[0].startswith("retry:") and "0 of 0" in told[1]
        before = loop.time()
        await jobs.renew(job.id, "r", ("selection", 7, 9), [], browser.office.clock())
        assert "7 of 9" in await anext(events)
        assert loop.time() - before < 1
        await events.aclose()


async def test_tokens_are_shown_once_and_revoked(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        page = (await browser.post("/tokens", 200, owner="ward", scope="train", days="30")).text
        token = re.search(r"medmesh-token1\.[A-Za-z0-9._-]+", page)
        assert token is not None
        assert "medmesh-token1" not in (await browser.get("/tokens")).text
        await browser.post("/tokens/revoke", token=token[0].split(".")[2])
        assert [t["state"] for t in await browser.office.coordinator.tokens.list(browser.office.clock())] == ["revoked"]


async def test_a_person_is_let_in_with_a_link_and_let_go(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        page = (await browser.post("/users", 200, name="Grace", role="uploader")).text
        assert re.search(r"https://n/password/[A-Za-z0-9_-]{43}", page) and "<svg" in page
        await browser.post("/users/role", name="Grace", role="viewer")
        await browser.post("/users/remove", 422, name="Grace")
        await browser.post("/users/remove", name="Grace", sure="on")
        people = {u["name"]: u["state"] for u in await browser.office.coordinator.users.list()}
        assert people == {"Ada": "active", "Grace": "removed"}


async def test_an_invite_is_shown_as_a_command_and_a_drawing(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        page = (await browser.post("/sites/invite", 200, site="Hospital", groups="pilot")).text
        assert "medmesh-edge join medmesh1." in page and "<svg" in page


async def test_a_review_is_of_what_was_read(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        page = (await browser.get("/knowledge/malaria")).text
        digest = re.search(r'name="digest" value="([^"]+)"', page)
        assert digest is not None
        await browser.post("/knowledge/malaria/review", 403, by="Dr Wu", status="reviewed", digest="0" * 64)
        await browser.post("/knowledge/malaria/review", by="Dr Wu", status="reviewed", digest=digest[1])
        assert "Dr Wu" in (await browser.get("/knowledge/malaria")).text
        first, *others = await browser.office.coordinator.trail.newest(Chosen(act="kb"), 9)
        told = {"status": "reviewed", "by": "Dr Wu", "translations": False, "read": digest[1]}
        assert (first.act, first.actor, first.subject, json.loads(first.detail)) == (
            "kb.review",
            "Ada",
            "malaria",
            told,
        )
        assert others == [], "a review that was refused is not in the trail"


async def test_a_review_that_cannot_be_recorded_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise CoordinatorError("storage.full", path="the coordinator's data")

    async with browsing(tmp_path / "home") as browser:
        before = (await browser.get("/knowledge/malaria")).text
        digest = re.search(r'name="digest" value="([^"]+)"', before)
        assert digest is not None
        monkeypatch.setattr(knowledge, "record", full)
        await browser.post("/knowledge/malaria/review", 507, by="Dr Wu", status="reviewed", digest=digest[1])
        assert "Dr Wu" not in (await browser.get("/knowledge/malaria")).text


async def test_the_trail_is_verified_and_exported(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.RELEASE_MANAGER) as browser:
        await fill(browser.office)
        await browser.post("/releases/malaria@2/pause")
        assert "whole and in order" in text_of((await browser.post("/audit/verify", 200)).text)
        answer = await browser.post("/audit/export", 200)
        assert b"release.pause" in answer.content
        assert list(browser.office.coordinator.home.base.glob("tmp*")) == []
