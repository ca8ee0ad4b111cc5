"""Signing in, and everything that must not work with it: forged, replayed, fixed, guessed, expired."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.access.roles import Role
from coordinator.access.users import Guesses
from coordinator.config import WebLimits
from coordinator.jobs.queue import Request as Wanted
from coordinator.store.tables import jobs, password_links, sessions, users
from coordinator.web.html import MOST_FORM_BYTES
from coordinator.web.rows import COOKIE
from coordinator.web.sign_in import FORM_COOKIE
from tests.support.people import PASSWORD, browser, code, hidden, person, sign_in, signed_in, stored
from tests.support.uploads import Office, office

NEW = "quiet harbour lamp seven"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as found:
        yield found


async def test_signing_in_leads_to_the_page_that_was_asked_for(opened: Office) -> None:
    await person(opened, "Vera 王")
    async with browser(opened) as client:
        asked = await client.get("/account?x=1")
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Faccount%3Fx%3D1")
        done = await sign_in(client, "ｖera 王", to="/account?x=1")  # width and case do not count in names
        assert (done.status_code, done.headers["location"]) == (303, "/account?x=1")
        page = await client.get("/account")
        assert page.status_code == 200 and "Vera 王" in page.text
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}


async def test_the_cookie_is_for_this_host_and_no_script_and_the_store_has_only_its_hash(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened) as client:
        done = await sign_in(client, "vera")
        (line,) = [v for v in done.headers.get_list("set-cookie") if v.startswith(COOKIE + "=")]
        told = {part.strip().lower() for part in line.split(";")[1:]}
        assert told == {"path=/", "secure", "httponly", "samesite=lax"}
        secret = client.cookies[COOKIE]
        assert len(secret) == 43 and secret not in repr(await stored(opened, sessions))
        assert PASSWORD not in repr(await stored(opened, users)) and "$argon2id$" in repr(await stored(opened, users))


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "\\\\evil", "javascript:x", ""]
)
async def test_signing_in_never_leads_to_another_host(opened: Office, target: str) -> None:
    await person(opened, "vera")
    async with browser(opened) as client:
        page = (await client.get("/login")).text
        form = {"csrf": hidden(page), "next": target, "name": "vera", "password": PASSWORD}
        assert (await client.post("/login", data=form)).headers["location"] == "/"


async def test_wrong_unknown_removed_and_passwordless_look_alike(opened: Office) -> None:
    await person(opened, "vera")
    await person(opened, "gone")
    await opened.coordinator.users.remove("gone")
    await opened.coordinator.users.add("new", Role.VIEWER, opened.clock())
    pages = []
    for name in ("vera", "nobody", "gone", "new", "ve\0ra", "\u202e"):
        async with browser(opened) as client:
            answer = await sign_in(client, name, "wrong wrong wrong")
            assert answer.status_code == 401 and COOKIE not in client.cookies
            pages.append(re.sub(r'(name="csrf" value=)"[^"]*"', r"\1", answer.text))
    assert len(set(pages)) == 1 and await stored(opened, sessions) == []


async def test_an_unknown_name_costs_a_hash_too(opened: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await person(opened, "vera")
    hasher = opened.coordinator.users._hasher
    kept: list[str] = []
    inner = hasher._argon2

    class Counting:
        def verify(self, hashed: str, password: str) -> bool:
            kept.append(hashed)
            return inner.verify(hashed, password)

        hash = inner.hash

    monkeypatch.setattr(hasher, "_argon2", Counting())
    async with browser(opened) as client:
        for name in ("vera", "nobody"):
            assert (await sign_in(client, name, "wrong wrong wrong")).status_code == 401
    assert len(kept) == 2 and kept[0] != kept[1]
    assert kept[0].rsplit("$", 2)[0] == kept[1].rsplit("$", 2)[0]  # at the same cost


async def test_a_session_that_somebody_planted_is_not_taken_over(opened: Office) -> None:
    await person(opened, "vera")
    await person(opened, "mallory")
    async with browser(opened) as attacker, browser(opened) as victim:
        await sign_in(attacker, "mallory")
        planted = attacker.cookies[COOKIE]
        victim.cookies.set(COOKIE, planted, domain="n.local")
        await sign_in(victim, "vera")
        assert victim.cookies[COOKIE] != planted
        assert "vera" in (await victim.get("/account")).text
        assert (await attacker.get("/account")).status_code == 303  # the planted one has ended
        made_up = "A" * 43
        victim.cookies.set(COOKIE, made_up, domain="n.local")
        await sign_in(victim, "vera")
        assert victim.cookies[COOKIE] != made_up


async def test_the_sign_in_form_cannot_be_sent_for_somebody_else(opened: Office) -> None:
    await person(opened, "mallory")
    async with browser(opened) as attacker, browser(opened) as victim:
        page = (await attacker.get("/login")).text
        form = {"csrf": hidden(page), "next": "", "name": "mallory", "password": PASSWORD}
        assert (await victim.post("/login", data=form)).status_code == 403  # no cookie at all
        await victim.get("/login")
        assert FORM_COOKIE in victim.cookies
        assert (await victim.post("/login", data=form)).status_code == 403  # the attacker's token
        own = {**form, "csrf": hidden((await victim.get("/login")).text)}
        strange = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await victim.post("/login", data=own, headers=strange)).status_code == 403
        assert COOKIE not in victim.cookies and await stored(opened, sessions) == []
        assert (await victim.post("/login", data=own)).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://n.evil.example", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://n", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://n", "Sec-Fetch-Site": "none"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://n", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://n:444", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://n@evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://n\u00b5", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://["},
        {},
    ],
    ids=str,
)
async def test_what_another_site_sends_is_refused_even_with_the_right_token(
    opened: Office, headers: dict[str, str]
) -> None:
    await person(opened, "ugo", Role.UPLOADER)
    async with signed_in(opened, "ugo") as client:
        for name in ("Origin", "Sec-Fetch-Site"):
            del client.headers[name]
        told = {k: v.encode("latin-1") for k, v in headers.items()}
        body = {"dataset": "malaria", "effort": "quick"}
        answer = await client.post("/v1/trainings", json=body, headers=told)  # type: ignore[arg-type]
        assert code(answer) == (403, "access.origin") and await stored(opened, jobs) == []
        assert (await client.get("/v1/jobs", headers=told)).status_code == 200  # type: ignore[arg-type]


async def test_a_changing_request_needs_the_token_of_its_own_session(opened: Office) -> None:
    await person(opened, "ugo", Role.UPLOADER)
    body = {"dataset": "malaria", "effort": "fast"}
    async with signed_in(opened, "ugo") as first, signed_in(opened, "ugo") as second:
        right, other = first.headers.pop("X-CSRF-Token"), second.headers["X-CSRF-Token"]
        assert right != other and right not in repr(await stored(opened, sessions))
        for wrong in ("", other, right[:-1], right + "A", "\u00e9"):
            answer = await first.post("/v1/trainings", json=body, headers={b"X-CSRF-Token": wrong.encode("latin-1")})
            assert code(answer) == (403, "access.csrf"), wrong
        assert code(await first.post("/v1/trainings", json=body)) == (403, "access.csrf")
        answer = await first.post("/v1/trainings", json=body, headers={"X-CSRF-Token": right})
        assert answer.status_code != 403


async def test_a_form_carries_the_token_in_a_hidden_field(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened) as client:
        await sign_in(client, "vera")
        token = hidden((await client.get("/account")).text)
        assert (await client.post("/logout", data={"csrf": token[::-1]})).status_code == 403
        assert (await client.post("/logout", data={})).status_code == 415  # a form of nothing
        assert (await client.get("/account")).status_code == 200
        assert (await client.post("/logout", data={"csrf": token})).headers["location"] == "/login"
        assert (await client.get("/account")).status_code == 303


async def test_guessing_is_stopped_and_the_owner_elsewhere_is_not(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened, "198.51.100.1") as guesser, browser(opened, "192.0.2.7") as owner:
        for _ in range(Guesses.PAIR):
            assert (await sign_in(guesser, "VERA", "wrong wrong wrong")).status_code == 401
        for password in ("wrong wrong wrong", PASSWORD):  # who guesses does not learn that this one was right
            stopped = await sign_in(guesser, "vera", password)
            assert stopped.status_code == 429 and 0 < int(stopped.headers["retry-after"]) <= 901
        assert (await sign_in(owner, "vera")).status_code == 303
        opened.clock.pass_(minutes=15)
        assert (await sign_in(guesser, "vera")).status_code == 303


async def test_one_address_cannot_try_ever_new_names_and_one_name_not_from_ever_new_addresses(opened: Office) -> None:
    now = opened.clock().timestamp()
    guesses = Guesses()
    assert [guesses.start(f"n{i}", "a", now) > 0 for i in range(Guesses.ADDRESS + 1)] == [False] * 40 + [True]
    guesses = Guesses()
    assert [guesses.start("vera", f"a{i}", now) > 0 for i in range(Guesses.ACCOUNT + 1)] == [False] * 100 + [True]
    assert guesses.start("vera", "a0", now) == Guesses.WINDOW_S
    assert guesses.start("other", "a0", now) == 0


async def test_signing_in_rightly_does_not_count_as_guessing(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened) as client:
        for _ in range(Guesses.PAIR + 1):
            assert (await sign_in(client, "vera")).status_code == 303


async def test_one_sender_is_slowed_down_and_hears_how_long(tmp_path: Path) -> None:
    limits = WebLimits(address_per_s=1, address_burst=20, principal_per_s=1, principal_burst=5)
    async with office(tmp_path, web=limits) as opened:
        await person(opened, "vera")
        await person(opened, "ugo", Role.UPLOADER)
        async with signed_in(opened, "vera") as client, signed_in(opened, "ugo") as other:
            assert [(await client.get("/v1/jobs")).status_code for _ in range(6)] == [200] * 5 + [429]
            assert (await other.get("/v1/jobs")).status_code == 200
            assert [(await client.get("/v1/status")).status_code for _ in range(14)] == [200] * 13 + [429]
            answer = await client.get("/v1/anything")
            assert code(answer) == (429, "access.too_many") and answer.headers["retry-after"] == "2"
            async with browser(opened, "192.0.2.8") as neighbour:
                assert (await neighbour.get("/v1/status")).status_code == 200
            opened.clock.pass_(seconds=2)
            assert (await client.get("/v1/jobs")).status_code == 200


async def test_a_link_lets_a_person_choose_a_password_once_within_a_day(opened: Office) -> None:
    people = opened.coordinator.users
    await people.add("nina", Role.UPLOADER, opened.clock())
    path = (await people.link("nina", opened.clock()))["path"]
    assert path.rsplit("/", 1)[1] not in repr(await stored(opened, password_links))
    async with browser(opened) as client:
        page = await client.get(path)
        assert page.status_code == 200 and "nina" in page.text
        form = {"csrf": hidden(page.text), "password": NEW, "again": NEW}
        assert (await client.post(path, data={**form, "csrf": "x"})).status_code == 403
        for wrong in ({"password": "short"}, {"again": "another"}, {"password": "nina2026!!", "again": "nina2026!!"}):
            assert (await client.post(path, data={**form, **wrong})).status_code == 422
        assert (await client.get(path)).status_code == 200  # nothing of that has spent it
        assert (await client.post(path, data=form)).headers["location"] == "/login"
        assert (await client.post(path, data=form)).status_code == 403
        assert (await client.get(path)).status_code == 403
        assert (await sign_in(client, "nina", NEW)).status_code == 303
        late = (await people.link("nina", opened.clock()))["path"]
        assert (await sign_in(client, "nina", NEW)).status_code == 401
        newer = (await people.link("nina", opened.clock()))["path"]
        assert (await client.get(late)).status_code == 403  # replaced
        opened.clock.pass_(days=1)
        assert (await client.get(newer)).status_code == 403
        for odd in ("/password/x", "/password/" + "é" * 43, "/password/%00"):
            assert (await client.get(odd)).status_code == 403


async def test_a_person_changes_their_own_password(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened) as client, signed_in(opened, "vera") as elsewhere:
        await sign_in(client, "vera")
        before = client.cookies[COOKIE]
        form = {"csrf": hidden((await client.get("/account")).text), "password": NEW, "again": NEW}
        assert (await client.post("/account", data={**form, "current": "wrong wrong"})).status_code == 401
        assert (await client.post("/account", data={**form, "current": PASSWORD})).status_code == 303
        assert client.cookies[COOKIE] != before and (await client.get("/account")).status_code == 200
        assert code(await elsewhere.get("/v1/jobs")) == (401, "access.session")
        assert (await sign_in(client, "vera")).status_code == 401


async def test_pages_are_kept_nowhere_framed_nowhere_and_load_nothing_from_elsewhere(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened) as client:
        answers = [await client.get("/login"), await sign_in(client, "vera", "wrong wrong")]
        await sign_in(client, "vera")
        answers += [await client.get("/account"), await client.post("/logout", data={"csrf": "x"})]
        for answer in answers:
            told = answer.headers
            policy = dict(part.strip().split(" ", 1) for part in told["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and policy["form-action"] == "'self'"
            assert "unsafe" not in told["content-security-policy"]
            assert (told["cache-control"], told["x-content-type-options"]) == ("no-store", "nosniff")
            assert told["referrer-policy"] == "same-origin" and told["x-frame-options"] == "DENY"
            assert not re.search(r"<script|\son\w+=|\sstyle=|https?://", answer.text)
        icon = re.search(r'rel="icon" href="(/[^"]+)"', answers[0].text)  # else browsers ask for one that is not there
        assert icon is not None and (await client.get(icon[1])).status_code == 200
        assert (await client.get("/v1/jobs")).headers["cache-control"] == "no-store"


async def test_pages_speak_chinese_and_english(opened: Office) -> None:
    async with browser(opened) as client:
        assert "登录" in (await client.get("/login", headers={"Accept-Language": "zh-CN,zh;q=0.9"})).text
        english = await client.get("/login", headers={"Accept-Language": "de"})
        assert "Sign in" in english.text and '<html lang="en">' in english.text
        chosen = await client.get("/login?next=%2Fx&lang=zh")
        assert "登录" in chosen.text and "next=%2Fx&amp;lang=en" in chosen.text
        assert "登录" in (await client.get("/login")).text  # it is remembered
        assert (await client.get("/login?lang=%3Cb%3E")).status_code == 200


async def test_names_are_data_and_never_markup(opened: Office) -> None:
    name = "<script>alert(1)</script>\"'{{7*7}}"
    await person(opened, name)
    async with browser(opened) as client:
        await sign_in(client, name)
        text = (await client.get("/account")).text
        assert "<script" not in text and "&lt;script&gt;" in text and "{{7*7}}" in text
        reflected = await client.get('/login?next=/"><script>x</script>&lang="><b>')
        assert "<script" not in reflected.text and "<b>" not in reflected.text


@pytest.mark.parametrize(
    "body",
    [b"x" * (MOST_FORM_BYTES + 1), b"csrf=%ff", b"\xff\xfe", b"&".join(b"a=%d" % n for n in range(300)), b"", b"=&=&;"],
    ids=["large", "not UTF-8", "not ASCII", "many", "empty", "odd"],
)
async def test_forms_that_are_none_are_refused(opened: Office, body: bytes) -> None:
    await person(opened, "vera")
    async with signed_in(opened, "vera") as client:
        del client.headers["X-CSRF-Token"]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for path in ("/login", "/logout", "/account", "/password/" + "s" * 43):
            assert (await client.post(path, content=body, headers=form)).status_code in (403, 413, 422)
        assert (await client.get("/v1/jobs")).status_code == 200


async def test_no_password_and_no_secret_reaches_the_log(opened: Office, caplog: pytest.LogCaptureFixture) -> None:
    await person(opened, "vera")
    with caplog.at_level(logging.DEBUG):
        async with browser(opened) as client:
            await sign_in(client, "vera", "a wrong password here")
            await sign_in(client, "vera")
            secret = client.cookies[COOKIE]
            await client.get("/account")
    for word in (PASSWORD, "a wrong password here", secret):
        assert word not in caplog.text


async def test_the_trail_says_who_was_let_in_changed_and_signed_in_and_holds_no_secret(opened: Office) -> None:
    people = opened.coordinator.users
    await people.add("nina", Role.UPLOADER, opened.clock())
    path = (await people.link("nina", opened.clock()))["path"]
    async with browser(opened) as client:
        form = {"csrf": hidden((await client.get(path)).text), "password": NEW, "again": NEW}
        await client.post(path, data=form)
        await sign_in(client, "nina", "wrong wrong wrong")
        await sign_in(client, "nina", NEW)
        secret = client.cookies[COOKIE]
        token = hidden((await client.get("/account")).text)
        body = {"dataset": "malaria", "effort": "quick"}
        await client.post("/v1/trainings", json=body, headers={"X-CSRF-Token": token})
        await client.post("/logout", data={"csrf": token})
    await people.set_role("nina", Role.VIEWER)
    await people.remove("nina")
    rows = [r async for r in opened.coordinator.trail.every() if r.act.startswith(("user.", "session."))]
    assert [(r.act, r.actor_kind if r.actor_kind == "local" else f"{r.actor_kind} {r.actor}") for r in rows] == [
        ("user.add", "local"),
        ("user.change", "local"),
        ("user.change", "user nina"),
        ("session.start", "user nina"),
        ("session.end", "user nina"),
        ("user.change", "local"),
        ("user.remove", "local"),
    ]
    assert {r.subject for r in rows} == {"nina"}
    assert not any(word in repr(rows) for word in (secret, token, NEW, path.rsplit("/", 1)[1]))


async def test_what_a_person_does_in_the_browser_is_recorded_as_theirs(opened: Office) -> None:
    await person(opened, "rita", Role.RELEASE_MANAGER)
    job = (await opened.coordinator.jobs.add(Wanted("train", "malaria", "north", frozenset(), {}), opened.clock()))[
        "job"
    ]
    async with signed_in(opened, "rita") as client:
        assert (await client.post(f"/v1/jobs/{job}/cancel")).status_code == 202
    last = [r async for r in opened.coordinator.trail.every()][-1]
    assert (last.act, last.actor_kind, last.actor) == ("job.cancel", "user", "rita")
