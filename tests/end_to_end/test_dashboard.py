"""A release manager does the whole work in a browser: upload, train, propose, approve, offer, pause, roll back."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import zipfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from coordinator.access.roles import Role
from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.fleet.rows import Arrival, FleetRows
from coordinator.store.tables import nodes
from protocols.heartbeat import SelfTest
from tests.end_to_end.conftest import BACKBONE, Converted, draw_set
from tests.support.chromium import DESKTOP, Eyes, chromium
from tests.support.commands import Running, run
from tests.support.heartbeats import HEART, health
from tests.support.people import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
_PATIENCE_MS = 600_000
NAME = "smears"


def _zipped(folder: Path, out: Path) -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return out


async def _person(home: Path) -> None:
    async with open_coordinator(home) as coordinator:
        await coordinator.users.add("Ada", Role.ADMIN, utc_now(), PASSWORD)


async def _second_version(home: Path) -> None:
    """The same head once more, as another training would bring: what is rolled out next."""
    async with open_coordinator(home) as coordinator:
        manifest = await coordinator.models.manifest(f"{NAME}@1")
        row = await coordinator.models.row(f"{NAME}@1")
        await coordinator.models.add(replace(manifest, version=2), {**row.training, "version": 2})


NODES = tuple(f"{n:016x}" for n in range(0xD0, 0xD4))
REST = (
    "sites", "sites/invite", "sites/drift", f"sites/{NODES[0]}", "datasets", f"datasets/{NAME}", f"datasets/{NAME}/report",
    f"datasets/{NAME}/waiting", "jobs", "models", "models/upload",
    f"models/{NAME}@1/card", f"models/compare?a={NAME}@1&b={NAME}@2", "releases", "federation", "networks",
    "knowledge", "knowledge/malaria", "users", "tokens", "audit",
)  # fmt: skip


async def _enrol(home: Path) -> None:
    """Four nodes of a canary group, of which only what they say matters here."""
    async with open_coordinator(home) as coordinator, coordinator.database.begin() as connection:
        for node in NODES:
            await connection.execute(
                nodes.insert().values(
                    id=node,
                    name=f"pilot-{node[-2:]}",
                    site=f"Clinic {node[-2:]}",
                    groups=["pilot"],
                    certificate_sha256=node * 4,
                    public_key="",
                    enrolled=utc_now().isoformat(timespec="seconds"),
                    last_seen=utc_now().isoformat(timespec="seconds"),
                )
            )


async def _say(home: Path, release: str, self_test: SelfTest) -> None:
    """What the canary's nodes put into their next heartbeat."""
    now = utc_now().replace(second=0, microsecond=0)
    told = health(release, since=now, active=False, self_test=self_test, failures=1)
    beat = replace(HEART, sent=now, releases=(replace(told, disease="malaria"),), declined=())
    async with open_coordinator(home) as coordinator:
        rows = FleetRows(coordinator.database)
        await rows.keep([(node, Arrival(node, beat, "line")) for node in NODES], utc_now())


@pytest.fixture
def home(trunk: Converted, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A coordinator of its own, so that nobody else's test sees what is done here; and its address."""
    home = tmp_path / "home"
    run("medmesh-coordinator", "init", "--approvals", "1", home=home)
    trunk.give(home)
    settings = home / "coordinator" / "config.toml"
    settings.write_text(settings.read_text("utf-8").replace('backbone = ""', f'backbone = "{BACKBONE}"'), "utf-8")
    server = Running("medmesh-coordinator", "serve", "--port", "0", "--node-port", "0", home=home)
    try:
        yield home, server.wait_for(url=None)["url"]
    finally:
        server.stop()


def test_a_release_manager_needs_a_browser_and_a_key(home: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = home
    draw_set(tmp_path / "cells", seed=11, patients=6, cells_each=4)
    archive = _zipped(tmp_path / "cells", tmp_path / "cells.zip")
    asyncio.run(_person(folder))
    asyncio.run(_enrol(folder))
    with walking(url) as eyes:
        sign_in(eyes)
        upload_and_train(eyes, archive)
        beside(_second_version(folder))
        for version in (1, 2):  # the first goes to everybody, the second to a canary
            propose(eyes, version)
            approve(eyes, folder, tmp_path / "approver")
            offer(eyes, version)
        eyes.look("canary")
        eyes.look_at_phone("canary")
        beside(_say(folder, f"{NAME}@2", "refused"))
        look_at_the_rest(eyes)  # meanwhile: the server looks at its rollouts once a minute
        see_it_paused_and_roll_back(eyes)
        assert eyes.complaints == [], "the browser had something to say"
    assert run("medmesh-coordinator", "release", "show", f"{NAME}@2", home=folder)["state"] == "rolled back"


def beside(what: Coroutine[Any, Any, None]) -> None:
    """Do something to the store while the browser waits; its driver has this thread's event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, what).result()


@contextmanager
def walking(url: str) -> Iterator[Eyes]:
    pictures = os.environ.get("MEDMESH_SCREENSHOTS")
    with chromium() as browser:
        context = browser.new_context(
            ignore_https_errors=True,  # a real browser would be given the CA
            viewport={"width": DESKTOP[0], "height": DESKTOP[1]},
            locale="en-GB",
        )
        context.set_default_timeout(120_000)
        yield Eyes(context.new_page(), url, Path(pictures) if pictures else None)


def sign_in(eyes: Eyes) -> None:
    eyes.open("/")
    eyes.page.fill('[name="name"]', "Ada")
    eyes.page.fill('[name="password"]', PASSWORD)
    eyes.page.press('[name="password"]', "Enter")
    expect(eyes.page.locator(".tiles")).to_be_visible()
    eyes.look("overview-at-first")


def upload_and_train(eyes: Eyes, archive: Path) -> None:
    page = eyes.page
    eyes.open("/upload")
    eyes.look("upload")
    page.fill('[name="disease"]', "malaria")
    page.fill('[name="name"]', NAME)
    page.select_option('[name="train"]', "quick")
    page.set_input_files('[name="file"]', archive)
    page.click('main button[type="submit"]')
    expect(page.locator("#state").get_by_role("button", name="To the training")).to_be_visible(timeout=_PATIENCE_MS)
    eyes.look("import")
    page.get_by_role("button", name="To the training").click()
    expect(page.locator("#progress, #state .acts").first).to_be_visible(timeout=_PATIENCE_MS)
    eyes.look("training")
    expect(page.get_by_role("button", name="To the model")).to_be_visible(timeout=_PATIENCE_MS)
    page.get_by_role("button", name="To the model").click()
    expect(page.locator(".chart canvas")).to_be_visible()
    eyes.look("model")


def propose(eyes: Eyes, version: int) -> None:
    page = eyes.page
    eyes.open(f"/models/{NAME}@{version}")
    page.fill('[name="notes"]', f"Smears from the north ward, {version}.")
    page.get_by_text("Exceptions").click()
    page.fill('[name="allow_unmapped"]', "a test")
    page.get_by_role("button", name="Propose").click()
    page.get_by_role("button", name="To the release").click(timeout=_PATIENCE_MS)
    expect(page.locator("#approve")).to_be_visible()
    if version == 2:
        eyes.look("proposed")


def approve(eyes: Eyes, home: Path, elsewhere: Path) -> None:
    """Run the very line that the page shows, as somebody on another machine."""
    words = shlex.split(eyes.page.locator("#approve code").first.inner_text())
    assert words[:3] == ["medmesh-coordinator", "release", "approve"]
    key = home / "coordinator" / "keys" / "approver-1.pem"
    run(words[0], *words[1:4], "--key", str(key), home=elsewhere)
    expect(eyes.page.locator("#approvals li")).to_have_count(1)  # the page hears of it by itself
    eyes.page.reload()


def offer(eyes: Eyes, version: int) -> None:
    page = eyes.page
    if version == 1:
        page.fill('[name="percent"]', "100")
        page.get_by_role("button", name="Offer").click()
    else:
        page.fill('form[action$="staged"] [name="groups"]', "pilot")
        page.get_by_role("button", name="Begin with the canary").click()
    expect(page.get_by_role("status")).to_contain_text("offered")


def see_it_paused_and_roll_back(eyes: Eyes) -> None:
    """The canary's nodes have said that it does not pass their self-test: the rollout pauses by itself."""
    page, deadline = eyes.page, utc_now() + timedelta(milliseconds=_PATIENCE_MS)
    eyes.open(f"/releases/{NAME}@2")
    while page.locator(".head .badge").inner_text() != "paused":
        assert utc_now() < deadline, "the rollout went on"
        page.wait_for_timeout(1000)
        page.reload()
    expect(page.locator("#rollout")).to_contain_text("Why it was paused")
    eyes.look("paused")
    eyes.open("/")
    expect(page.locator(".alarms")).to_contain_text("Releases that are paused: 1")
    eyes.look("overview")
    eyes.open(f"/releases/{NAME}@2")
    page.locator("summary", has_text="Roll back").click()
    page.locator('form[action$="rollback"] [name="sure"]').check()
    page.locator('form[action$="rollback"] button').click()
    expect(page.locator(".head .badge")).to_have_text("rolled back")
    eyes.look("rolled-back")


def look_at_the_rest(eyes: Eyes) -> None:
    for path in REST:
        eyes.open(f"/{path}")
        eyes.look(re.sub(r"[^a-z0-9]+", "-", path.replace(NAME, "")).strip("-"))
