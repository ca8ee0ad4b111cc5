"""What pages weigh: CPU of the server and bytes for a browser that has nothing yet."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from tests.support.pages import Browser

HEAVY = (
    "/", "/sites", "/sites?find=clinic-09&order=heard&direction=down", "/datasets", "/datasets/malaria", "/jobs", "/models",
    "/datasets/malaria/waiting", "/jobs/0000000003", "/models/upload",
    "/models/malaria@100", "/models/compare?a=malaria@100&b=malaria@101", "/releases", "/releases/malaria@103",
    "/releases/malaria@104", "/federation", "/federation/ab12", "/knowledge", "/knowledge?find=肺炎", "/knowledge/malaria",
    "/users", "/tokens", "/audit",
)  # fmt: skip
_TRIES = 3


@dataclass(frozen=True)
class Weight:
    """One page."""

    path: str
    cpu_ms: float  # the quickest of several
    cold_bytes: int  # the page and every file that it names, as they are sent


async def weigh(browser: Browser, path: str) -> Weight:
    """Load a page several times, and once all that it needs."""
    spent = []
    for _ in range(_TRIES):
        before = time.process_time()
        page = await browser.get(path)
        spent.append((time.process_time() - before) * 1000)
    total = len(page.content)
    for url in dict.fromkeys(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)):
        async with browser.client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
            total += sum([len(block) async for block in answer.aiter_raw()])
    return Weight(path, min(spent), total)
