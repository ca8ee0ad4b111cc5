"""A thousand sites and two hundred releases: no page costs more than 100 ms of CPU or 150 kB cold."""

from __future__ import annotations

from pathlib import Path

from tests.support.filled import fill
from tests.support.pages import browsing
from tests.support.weight import HEAVY, weigh


async def test_pages_stay_light_in_a_large_network(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office, sites=1000, releases_=200)
        weights = [await weigh(browser, path) for path in HEAVY]
    assert [w for w in weights if w.cpu_ms > 100] == []
    assert [w for w in weights if w.cold_bytes > 150_000] == []
