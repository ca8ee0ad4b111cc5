"""The dashboard's pages with 1,000 sites and 200 releases: CPU of the server, bytes for a browser that has nothing yet."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from figures import figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support.filled import fill
from tests.support.pages import browsing
from tests.support.weight import HEAVY, Weight, weigh

SITES, RELEASES = 1000, 200
MOST_CPU_MS, MOST_BYTES = 100, 150_000


async def _weights() -> list[Weight]:
    with tempfile.TemporaryDirectory() as folder:
        async with browsing(Path(folder) / "home") as browser:
            await fill(browser.office, sites=SITES, releases_=RELEASES)
            return [await weigh(browser, path) for path in HEAVY]


def main() -> int:
    weights = asyncio.run(_weights())
    slowest, heaviest = max(weights, key=lambda w: w.cpu_ms), max(weights, key=lambda w: w.cold_bytes)
    quick, light = slowest.cpu_ms <= MOST_CPU_MS, heaviest.cold_bytes <= MOST_BYTES
    figure(f"slowest page ({slowest.path}), CPU", f"{slowest.cpu_ms:.0f} ms", "—", None, f"≤ {MOST_CPU_MS} ms", quick)
    figure(
        f"heaviest page, cold ({heaviest.path})", f"{heaviest.cold_bytes / 1000:.0f} kB", "—", None, "≤ 150 kB", light
    )
    return 0 if quick and light else 1


if __name__ == "__main__":
    sys.exit(main())
