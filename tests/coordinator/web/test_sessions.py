"""How long somebody is let in: until they sign out or fall silent, or until somebody changes what they may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.access.roles import Role
from coordinator.store.tables import sessions
from coordinator.web.rows import COOKIE
from protocols import access
from tests.support.people import PASSWORD, browser, code, hidden, person, sign_in, signed_in, stored
from tests.support.uploads import Office, office

NEW = "quiet harbour lamp seven"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as found:
        yield found


async def test_after_signing_out_neither_cookie_nor_token_works_again(opened: Office) -> None:
    await person(opened, "vera")
    async with browser(opened) as client:
        await sign_in(client, "vera")
        secret, token = client.cookies[COOKIE], hidden((await client.get("/account")).text)
        await client.post("/logout", data={"csrf": token})
        assert COOKIE not in client.cookies
        client.cookies.set(COOKIE, secret, domain="n.local")
        assert code(await client.get("/v1/jobs")) == (401, "access.session")
        assert (await client.post("/logout", data={"csrf": token})).headers["location"] == "/login?ended=1"
        await sign_in(client, "vera")
        assert (await client.post("/logout", data={"csrf": token})).status_code == 403  # of the session before


async def test_a_session_ends_after_half_an_hour_of_nothing_and_after_twelve_hours_of_work(opened: Office) -> None:
    await person(opened, "vera")
    async with signed_in(opened, "vera") as client:
        opened.clock.pass_(minutes=29)
        assert (await client.get("/v1/jobs")).status_code == 200
        opened.clock.pass_(minutes=29)
        assert (await client.get("/v1/jobs")).status_code == 200
        opened.clock.pass_(minutes=30)
        assert code(await client.get("/v1/jobs")) == (401, "access.session")
    async with signed_in(opened, "vera") as client:
        assert len(await stored(opened, sessions)) == 1  # the old one is cleared away
        for _ in range(12 * 3 - 1):
            opened.clock.pass_(minutes=20)
            assert (await client.get("/v1/jobs")).status_code == 200
        opened.clock.pass_(minutes=20)
        assert code(await client.get("/v1/jobs")) == (401, "access.session")


async def test_reading_a_page_writes_at_most_once_a_minute(opened: Office) -> None:
    await person(opened, "vera")
    async with signed_in(opened, "vera") as client:
        seen = [s.seen for s in await stored(opened, sessions)]
        opened.clock.pass_(seconds=59)
        await client.get("/v1/jobs")
        assert [s.seen for s in await stored(opened, sessions)] == seen
        opened.clock.pass_(seconds=1)
        await client.get("/v1/jobs")
        assert [s.seen for s in await stored(opened, sessions)] != seen


@pytest.mark.parametrize("change", ["role", "password", "remove", "link"])
async def test_a_change_of_role_or_password_signs_out_everywhere(opened: Office, change: str) -> None:
    await person(opened, "ugo", Role.UPLOADER)
    people = opened.coordinator.users
    async with signed_in(opened, "ugo") as first, signed_in(opened, "ugo") as second:
        match change:
            case "role":
                await people.set_role("ugo", Role.VIEWER)
            case "password":
                await people.set_password("ugo", NEW)
            case "remove":
                await people.remove("ugo")
            case "link":
                await people.link("ugo", opened.clock())
        for client in (first, second):
            assert code(await client.get("/v1/jobs")) == (401, "access.session")


async def test_one_who_was_removed_and_let_in_again_has_no_old_session(opened: Office) -> None:
    await person(opened, "ugo", Role.UPLOADER)
    async with signed_in(opened, "ugo") as client:
        await opened.coordinator.users.remove("ugo")
        await person(opened, "ugo", Role.VIEWER)
        assert code(await client.get("/v1/jobs")) == (401, "access.session")


async def test_a_person_has_only_so_many_sessions(opened: Office) -> None:
    await person(opened, "vera")
    known = await opened.coordinator.users.recognise("vera", PASSWORD, "", opened.clock())
    made = []
    for _ in range(25):
        opened.clock.pass_(seconds=1)
        made.append(await opened.coordinator.sessions.open(known, opened.clock()))
    alive = [await opened.coordinator.sessions.find(secret, opened.clock()) is not None for secret in made]
    assert alive == [False] * 5 + [True] * 20


async def test_a_request_with_both_is_judged_by_the_token_alone(opened: Office) -> None:
    await person(opened, "ada", Role.ADMIN)
    weak = await opened.token(access.MODEL_UPLOAD)
    able = await opened.token(access.TRAIN)
    body = {"dataset": "malaria", "effort": "fast"}
    async with signed_in(opened, "ada") as client:
        for credential, expected in (
            (f"Bearer {weak}", (403, "token.scope")),
            ("Bearer nonsense", (401, "token.malformed")),
            ("Basic YTpi", (401, "token.missing")),
            ("", (401, "token.missing")),
        ):
            answer = await client.post("/v1/trainings", json=body, headers={"Authorization": credential})
            assert code(answer) == expected
    async with opened.uploader(able) as client:  # a program sends neither Origin nor a form's token
        assert code(await client.post("/v1/trainings", json=body)) == (422, "upload.malformed")
        fine = {**body, "effort": "quick"}
        assert code(await client.post("/v1/trainings", json=fine)) == (404, "dataset.unknown")


async def test_a_stolen_token_is_worth_nothing_once_it_is_revoked(opened: Office) -> None:
    made = await opened.token(access.TRAIN)
    async with opened.uploader(made) as client:
        assert (await client.get("/v1/jobs")).status_code == 200
        await opened.coordinator.tokens.revoke(made.split(".")[2])
        assert code(await client.get("/v1/jobs")) == (401, "token.refused")
        client.headers.pop("Authorization")
        client.cookies.set(COOKIE, made, domain="n.local")  # a token is no session
        assert code(await client.get("/v1/jobs")) == (401, "access.session")
