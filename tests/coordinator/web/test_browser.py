"""What only a browser shows: colours that stand out in both schemes, curves that grow while one looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page
from sqlalchemy import update

from coordinator.access.roles import Role
from coordinator.store.tables import jobs
from tests.support.chromium import chromium
from tests.support.filled import fill
from tests.support.people import PASSWORD, person
from tests.support.uploads import Serving

LEAST = 4.5  # WCAG 2.2, 1.4.3, text of usual size
TRAINING = f"{1:010x}"  # the one that runs in a filled store
LINKS = (".side a[aria-current]", ".side li:nth-child(2) a", ".tools a", ".tools .link", "th a", ".foot a")
# Text and the nearest ground under it, as drawn now; the grounds here are all opaque.
COLOURS = """e => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  let under = e;
  while (under.parentElement && parse(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
  return [parse(getComputedStyle(e).color), parse(getComputedStyle(under).backgroundColor)];
}"""


def luminance(colour: list[float]) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [c / 255 for c in colour[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(page: Page, what: str) -> float:
    one, other = sorted(map(luminance, page.locator(what).first.evaluate(COLOURS)))
    return (other + 0.05) / (one + 0.05)


def moving(page: Page) -> list[Any]:
    """What is between two looks at this moment."""
    script = "document.getAnimations().map(a => a.transitionProperty + ' of ' + a.effect.target.outerHTML.slice(0, 80))"
    found: list[Any] = page.evaluate(script)
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("served") / "home") as serving:
        serving.run(person(serving.office, "Ada", Role.ADMIN))
        serving.run(fill(serving.office, sites=3, releases_=3))
        yield serving


@pytest.fixture(scope="module")
def page(served: Serving) -> Iterator[Page]:
    """A browser in which Ada has signed in."""
    with chromium() as browser:
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(10_000)
        page.goto(served.url)
        page.fill('[name="name"]', "Ada")
        page.fill('[name="password"]', PASSWORD)
        page.press('[name="password"]', "Enter")
        page.wait_for_selector(".side")
        yield page


def test_links_stand_out_in_both_schemes_and_at_once(served: Serving, page: Page) -> None:
    page.goto(served.url + "/releases")
    found: dict[tuple[str, str], float] = {}
    caught: list[Any] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        caught += moving(page)
        for what in LINKS:
            found[scheme, what] = contrast(page, what)
            page.locator(what).first.hover()
            caught += moving(page)
            found[scheme, what + ":hover"] = contrast(page, what)
    assert caught == []
    assert {what: ratio for what, ratio in found.items() if ratio < LEAST} == {}


def test_training_curves_grow_on_the_page_within_a_second(served: Serving, page: Page) -> None:
    """What the runner writes into the row is drawn; the page was open before there was anything to draw."""
    database = served.office.coordinator.database

    async def epochs(*losses: float) -> None:
        curves = [{"run": "a/0", "name": "mixed4", "loss": losses, "validation": [None for _ in losses]}]
        async with database.begin() as connection:
            await connection.execute(update(jobs).where(jobs.c.id == TRAINING).values(curves=curves))

    page.goto(f"{served.url}/jobs/{TRAINING}")
    page.wait_for_selector("#state progress")
    assert page.locator("#curves").is_hidden()
    for losses in ((0.9, 0.7), (0.9, 0.7, 0.4321)):
        served.run(epochs(*losses))
        began = time.monotonic()
        while page.evaluate("document.querySelector('#curves .chart').plot?.data[1].length") != len(losses):
            assert time.monotonic() - began < 1.5, "a second, and what the test itself takes"
            page.wait_for_timeout(20)
    assert page.locator("#curves canvas").count() == 1 and "0.4321" in page.locator("#newest").inner_text()
