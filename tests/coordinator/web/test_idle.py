"""A session ends when nobody is there, also where a page goes on asking by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.access.sessions import IDLE
from coordinator.web.following import Following
from tests.support.filled import fill
from tests.support.pages import browsing

MINUTE = 60.0


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/jobs/events", {"Accept": "text/event-stream"}),
        ("/jobs/0000000001/events", {"Accept": "text/event-stream"}),
        ("/releases/malaria@1", {"HX-Request": "true", "X-Follows": "1"}),
    ],
)
async def test_a_page_that_follows_by_itself_keeps_no_session_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(Following, "longest_s", 0)
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        clock, spent = browser.office.clock, 0.0
        while (spent := spent + 5 * MINUTE) < IDLE.total_seconds():
            clock.pass_(minutes=5)
            answer = await browser.client.get(path, headers=headers)
            assert answer.status_code == 200
        clock.pass_(minutes=5)
        answer = await browser.client.get(path, headers=headers)
        if "Accept" in headers:  # a browser hands on no other status of a stream
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert (
                "not signed in any more" in answer.text and f"/login?next={path.removesuffix('/events')}" in answer.text
            )
        else:
            assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?ended=1")
        assert (await browser.get("/jobs", 303)).headers["location"].startswith("/login")


async def test_a_person_who_looks_at_pages_stays_signed_in(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        for _ in range(8):
            browser.office.clock.pass_(minutes=20)
            await browser.get("/jobs")


async def test_the_release_page_marks_what_it_asks_by_itself(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        page = (await browser.get("/releases/malaria@1")).text
        assert page.count('hx-trigger="every') == page.count("X-Follows") == 1
