"""Every page for people: rendered in both languages, empty and full; nothing that somebody wrote is ever run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from coordinator.web.pages.table import Shown
from coordinator.web.views import POLICY
from tests.support.filled import fill
from tests.support.pages import browsing, text_of

NODE = "0" * 16
PATHS = (
    "/", "/sites", "/sites?find=clinic&state=stale&order=heard&direction=down", "/sites/invite", "/sites/drift", f"/sites/{NODE}",
    "/datasets", "/datasets/malaria", "/datasets/malaria/report", "/datasets/malaria/waiting", "/upload",
    "/jobs", "/jobs?state=failed", "/jobs/0000000000", "/jobs/0000000001", "/jobs/0000000003", "/jobs/0000000001/curves",
    "/models", "/models/upload", "/models/malaria@1", "/models/malaria@1/card", "/models/malaria@1/curves",
    "/models/compare?a=malaria@1&b=malaria@2",
    "/releases", "/releases?state=paused", "/releases/malaria@1", "/releases/malaria@2", "/releases/malaria@6",
    "/federation", "/federation/ab12", "/federation/ab12/curves", "/federation/ab12/curves?of=bytes",
    "/knowledge", "/knowledge?find=肺炎", "/knowledge?review=draft", "/knowledge/malaria",
    "/networks", "/users", "/tokens", "/audit", "/audit?act=release", "/licences",
)  # fmt: skip
ENDLESS = {"/jobs/events", "/jobs/{job}/events"}
ELSEWHERE = {"/static/{digest}/{name}", "/display/language/{language}", "/display/theme/{theme}"}
PAYLOAD = """'"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}${7*7}"""
FIELDS = (
    "clinic-", "Hospital", "pilot", "parasitized", "north", "a/", "more images", "worse", "elsewhere",
    "every label", "few images", "misses ring forms", "screen",
)  # fmt: skip


class Strict(HTMLParser):
    """Notes what could run: scripts without an address of ours, handlers, inline styles, addresses of other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        loads = tag in ("script", "style", "iframe", "object", "embed", "base")
        if loads and not found.get("src", "").startswith("/static/"):
            self.wrong.append(f"<{tag}>")
        for name, value in found.items():
            if name.startswith(("on", "hx-on")) or name == "style":
                self.wrong.append(f"{tag} {name}")
            if name in ("href", "src", "action") and not re.match(r"(/(?!/)|\?|#|data:image/)", value):
                self.wrong.append(f"{tag} {name}={value}")
        if tag == "img" and found.get("src") == "x":
            self.wrong.append("the payload's picture")


def wrong(html: str) -> list[str]:
    parser = Strict()
    parser.feed(html)
    return parser.wrong


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_every_page_answers(tmp_path: Path, filled: bool, language: str) -> None:
    async with browsing(tmp_path / "home") as browser:
        if filled:
            await fill(browser.office)
        for path in PATHS:
            answer = await browser.client.get(path, headers={"Accept-Language": language})
            assert answer.status_code in ((200,) if filled else (200, 404)), (path, text_of(answer.text)[:500])
            assert answer.headers["content-security-policy"] == POLICY, path
            assert answer.headers["cache-control"] == "no-store", path
            if "html" in answer.headers["content-type"]:
                assert wrong(answer.text) == [], path
                shown = text_of(answer.text)
                assert ("仅供研究使用" if language == "zh" else "Research use only") in shown, path
                assert f'<html lang="{"zh-CN" if language == "zh" else "en"}"' in answer.text
                if language == "zh" and path not in ("/licences",):
                    assert "Skip to the content" not in shown and "Knowledge base" not in shown, path


async def test_the_paths_above_reach_every_row(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        rows = [r for r in browser.office.pages if isinstance(r, Shown) and r.method == "GET"]
    bare = [p.partition("?")[0] for p in PATHS]
    for row in rows:
        if row.path in ENDLESS | ELSEWHERE:
            continue
        pattern = re.compile(re.sub(r"{[a-z_]+}", "[^/]+", row.path) + "$")
        assert any(pattern.match(p) for p in bare), f"{row.path} is not among the paths that are tried"


async def test_what_somebody_wrote_is_never_run(tmp_path: Path) -> None:
    """Every field holds the payload and its own mark, so that a field which is shown nowhere does not pass for safe."""
    seen: set[str] = set()

    def hostile(plain: str) -> str:
        mark = next((f for f in FIELDS if f.casefold() in plain.casefold()), None)
        return plain if mark is None else f"{PAYLOAD}{FIELDS.index(mark):03d}{plain}"

    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office, text=hostile)
        for path in PATHS:
            answer = await browser.get(path)
            if "html" in answer.headers["content-type"]:
                assert wrong(answer.text) == [], path
                assert "<script>alert" not in answer.text and "49" not in _around(answer.text), path
                shown = {n for n, f in enumerate(FIELDS) if f"${{7*7}}{n:03d}" in answer.text}
                seen |= {FIELDS[n] for n in shown}
    assert set(FIELDS) - seen == set(), "fields that no page shows: for them the test proves nothing"


def _around(html: str) -> str:
    return " ".join(re.findall(r"onerror=alert\(1\)&gt;(.{0,6})", html))


@pytest.mark.parametrize(
    "path", ["/sites?find={}", "/releases?find={}", "/knowledge?find={}", "/audit?actor={}", "/jobs?state={}", "/sites/{}",
             "/models/{}", "/releases/{}", "/datasets/{}", "/jobs/{}", "/federation/{}", "/knowledge/{}", "/?done={}"]
)  # fmt: skip
async def test_what_an_address_says_is_never_run(tmp_path: Path, path: str) -> None:
    async with browsing(tmp_path / "home") as browser:
        answer = await browser.client.get(path.format(PAYLOAD.replace("/", "%2F").replace("?", "%3F")))
        assert answer.status_code in (200, 404, 422), text_of(answer.text)[:300]
        if "html" in answer.headers["content-type"]:
            assert wrong(answer.text) == []


@pytest.mark.parametrize("name", [PAYLOAD[:70], "名称 <b>"])
async def test_a_persons_name_is_text(tmp_path: Path, name: str) -> None:
    async with browsing(tmp_path / "home", name=name) as browser:
        for path in ("/", "/users", "/knowledge/malaria"):
            assert wrong((await browser.get(path)).text) == []


async def test_a_stranger_is_led_to_the_door(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        browser.client.cookies.clear()
        answer = await browser.get("/releases", 303)
        assert answer.headers["location"].startswith("/login")


async def test_a_form_of_another_page_changes_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        browser.client.headers["X-CSRF-Token"] = "of-somebody-else"
        await browser.post("/releases/malaria@2/pause", 403)
        shown = await browser.office.coordinator.releases.show("malaria@2")
        assert shown["state"] == "released"


async def test_language_and_colours_are_remembered_and_lead_nowhere_else(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        answer = await browser.get("/display/language/zh?to=/sites", 303)
        assert answer.headers["location"] == "/sites"
        assert 'lang="zh-CN"' in (await browser.get("/")).text
        await browser.get("/display/theme/dark", 303)
        assert 'data-theme="dark"' in (await browser.get("/")).text
        await browser.get("/display/theme/%3Cscript%3E", 404)
        for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
            answer = await browser.client.get("/display/theme/light", params={"to": target})
            assert answer.headers["location"] == "/"


async def test_assets_keep_for_a_year_and_only_under_their_digest(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        page = (await browser.get("/")).text
        for url in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
            answer = await browser.get(url)
            assert "immutable" in answer.headers["cache-control"], url
            assert answer.headers["content-encoding"] == "gzip", url
        await browser.get("/static/0000000000000000/app.js", 404)
