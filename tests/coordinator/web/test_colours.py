"""What a browser makes of the colours: text stands out in both schemes, and is never caught between the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from coordinator.access.roles import Role
from tests.support.chromium import chromium
from tests.support.filled import fill
from tests.support.people import PASSWORD, person
from tests.support.uploads import Serving

LEAST = 4.5  # WCAG 2.2, 1.4.3, text of usual size
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


def test_links_stand_out_in_both_schemes_and_at_once(tmp_path: Path) -> None:
    with Serving(tmp_path / "home") as serving, chromium() as browser:
        serving.run(person(serving.office, "Ada", Role.ADMIN))
        serving.run(fill(serving.office, sites=3, releases_=3))
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(10_000)
        page.goto(serving.url + "/releases")
        page.fill('[name="name"]', "Ada")
        page.fill('[name="password"]', PASSWORD)
        page.press('[name="password"]', "Enter")
        page.wait_for_selector(".side")
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
