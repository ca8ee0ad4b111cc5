"""Other networks on their page: when each was verified, what went wrong last, and what it revoked of ours first."""

from __future__ import annotations

from pathlib import Path

from coordinator.access.roles import Role
from coordinator.upstream.record import Record
from coordinator.upstream.store import UpstreamStore
from protocols.network import NetworkFile
from protocols.trust import Rollout
from tests.support.filled import fill
from tests.support.pages import browsing, text_of


async def test_a_network_stands_with_its_last_verification_and_revocations(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.VIEWER) as browser:
        assert "No other network has been added" in text_of((await browser.get("/networks")).text)
        await fill(browser.office)
        page = text_of((await browser.get("/networks")).text)
        assert "https://south.example" in page and "2026-02-01 12:00" in page
        assert "smears@3" in page and "misses ring forms" in page and "could not be verified" not in page
        store, now = UpstreamStore(browser.office.coordinator.database), browser.office.clock()
        failure = {"code": "upstream.expired", "message": "The metadata is too old.", "remedy": ""}
        await store.failed("south", failure, now)
        page = text_of((await browser.get("/networks")).text)
        assert "could not be verified" in page and "too old" in page and "misses ring forms" in page


async def test_a_network_that_revokes_very_much_does_not_flood_the_page(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.VIEWER) as browser:
        store, now = UpstreamStore(browser.office.coordinator.database), browser.office.clock()
        revoked = {f"smears@{n}": "x" * 500 for n in range(1, 2001)}
        believed = Record(Rollout(1, "South", None, ()).to_bytes(), frozenset({"k"}), now, now, revoked)
        await store.add("south", "https://south.example", NetworkFile("South", (), b"{}", None, 0), believed, now)
        page = (await browser.get("/networks")).text
        assert "50 of 2000 are shown" in text_of(page) and len(page) < 60_000
