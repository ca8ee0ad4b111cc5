"""Chromium for tests: pages as a person sees them, looked at in both languages and for faults that keep people out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
DESKTOP, PHONE = (1280, 800), (390, 844)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of the system, or a skip that says how to get it."""
    found = os.environ.get("MEDMESH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium: run tools/chromium.sh as root, or set MEDMESH_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Eyes:
    """Looks at pages: in both languages, with axe, for overflow and for what the policy or a script complains about."""

    def __init__(self, page: Page, url: str, pictures: Path | None) -> None:
        self.page = page
        self._url = url
        self._pictures = pictures
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda e: self.complaints.append(str(e)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(f"{said.text} ({said.location.get('url', '')}, on {self.page.url})")

    def open(self, path: str) -> None:
        """Go to a page of the dashboard."""
        self.page.goto(self._url + path)

    def speak(self, language: str) -> None:
        """Choose a language on the page that is shown."""
        link = self.page.locator(f'.tools a[hreflang="{"zh-CN" if language == "zh" else "en"}"]')
        if link.count():
            link.click()

    def look(self, name: str) -> None:
        """The page that is shown: no serious fault, no overflow, in both languages; a picture of each where they are kept."""
        for language in ("en", "zh"):
            self.speak(language)
            assert self.page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh" else "en")
            self._judge(f"{name} ({language})")
            self._picture(f"{name}-{language}")
        self.speak("en")

    def look_at_phone(self, name: str) -> None:
        """The same page on a phone in the dark."""
        self.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        self.page.emulate_media(color_scheme="dark")
        self._judge(f"{name} on a phone, dark")
        self._picture(f"{name}-phone-dark")
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})

    def _judge(self, what: str) -> None:
        over = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{what}: {over} px too wide"
        self.page.evaluate(AXE.read_text("utf-8"))
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        grave = [
            (v["id"], v["nodes"][0]["html"][:200])
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert grave == [], f"{what}: {grave}"

    def _picture(self, name: str) -> None:
        if self._pictures is not None:
            self._pictures.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(self._pictures / f"{name}.png"), animations="disabled")
