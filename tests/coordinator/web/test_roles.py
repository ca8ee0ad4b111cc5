"""Every route for everybody: what the table of rows and the table of roles say together is what happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response
from starlette.routing import Route

from coordinator.access.roles import RIGHTS as OF_ROLE
from coordinator.access.roles import Role, check_gift
from coordinator.errors import CoordinatorError
from coordinator.web.following import Following
from coordinator.web.rows import Row
from protocols import access
from protocols.access import RIGHTS, Principal
from tests.support.people import person, signed_in
from tests.support.uploads import Office, office

REACHED = 299
TURNED_AWAY = {
    "token.missing",
    "token.scope",
    "access.missing",
    "access.session",
    "access.denied",
    "access.csrf",
    "access.origin",
}
PUBLIC_PAGES = {
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/password/{secret}"),
    ("POST", "/password/{secret}"),
    ("GET", "/static/{digest}/{name}"),
    ("GET", "/licences"),
    ("GET", "/display/language/{language}"),
    ("GET", "/display/theme/{theme}"),
}


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(Following, "longest_s", 0)  # events without end would be waited for
    async with office(tmp_path) as found:
        yield found


def rows(opened: Office) -> list[Row]:
    return [*opened.rows, *opened.pages]


def address(row: Row) -> str:
    known = {"{number}": "0", "{upload}": "0" * 32, "{job}": "0" * 10, "{secret}": "s" * 43, "{path:path}": "x"}
    path = row.path
    for name, value in known.items():
        path = path.replace(name, value)
    return path


async def outcome(row: Row, client: httpx.AsyncClient) -> tuple[int, str]:
    """Status, and why one was turned away; empty: one was not."""
    answer = await client.request(row.method, address(row))
    assert answer.status_code < 500, (row.method, row.path)
    if answer.headers.get("content-type") == "application/json" and answer.status_code >= 400:
        code = answer.json()["error"]["code"]
        return answer.status_code, code if code in TURNED_AWAY else ""
    if answer.status_code == 303 and answer.headers["location"].startswith("/login?"):
        return 401, "access.missing"
    return answer.status_code, ""


def test_roles_hold_these_rights() -> None:
    assert OF_ROLE[Role.ADMIN] == set(RIGHTS) and len(set(RIGHTS)) == len(RIGHTS)
    for role in Role:
        assert OF_ROLE[role] <= set(RIGHTS) and access.VIEW in OF_ROLE[role]
    assert OF_ROLE[Role.VIEWER] == {access.VIEW}
    uploader, manager = OF_ROLE[Role.UPLOADER], OF_ROLE[Role.RELEASE_MANAGER]
    assert not any(r.startswith(("release:", "node:", "user:", "token:", "kb:", "audit:")) for r in uploader)
    assert access.DATASET_ANY not in uploader and access.JOB_ANY not in uploader
    assert {r for r in RIGHTS if r.startswith("release:")} <= manager
    for right in (access.USER_MANAGE, access.TOKEN_MANAGE, access.DATASET_ANY, access.DATASET_UPLOAD, access.TRAIN):
        assert right not in manager


async def test_nothing_is_routed_that_is_not_a_row(opened: Office) -> None:
    served = {(m, r.path) for r in opened.app.routes if isinstance(r, Route) for m in (r.methods or ()) - {"HEAD"}}
    assert len([r for r in opened.app.routes if isinstance(r, Route)]) == len(opened.app.routes)
    assert served == {(r.method, r.path) for r in rows(opened)}


async def test_only_these_pages_are_public_and_each_says_why(opened: Office) -> None:
    public = [r for r in opened.pages if r.rights is None]
    assert {(r.method, r.path) for r in public} == PUBLIC_PAGES and all(r.public for r in public)


async def reached(*_: object) -> Response:
    return Response(status_code=REACHED)


async def test_each_role_and_each_token_gets_exactly_what_the_tables_say(opened: Office) -> None:
    """Who is let in is decided before the handlers, which therefore only say here that they were reached."""
    for row in rows(opened):
        object.__setattr__(row, "handler", reached)
    async with AsyncExitStack() as stack:
        tokens: dict[frozenset[str], httpx.AsyncClient] = {}

        async def holder(rights: frozenset[str]) -> httpx.AsyncClient:
            if rights not in tokens:
                tokens[rights] = await stack.enter_async_context(opened.uploader(await opened.token(*sorted(rights))))
            return tokens[rights]

        people: dict[Role, httpx.AsyncClient] = {}
        for role in Role:
            await person(opened, role.value, role)
            people[role] = await stack.enter_async_context(signed_in(opened, role.value))
        for row in rows(opened):
            told = (row.method, row.path)
            for role, client in people.items():
                may = row.rights is None or bool(row.rights & OF_ROLE[role])
                right = (REACHED, "") if may else (403, "" if row in opened.pages else "access.denied")
                assert await outcome(row, client) == right, (*told, role)
            if row.rights is None:
                assert await outcome(row, await holder(frozenset())) == (REACHED, ""), told
                continue
            for one in row.rights:  # any of them is enough, and all others together are not
                assert await outcome(row, await holder(frozenset({one}))) == (REACHED, ""), (*told, one)
            refused = (403, "" if row in opened.pages else "token.scope")
            assert await outcome(row, await holder(frozenset(RIGHTS) - row.rights)) == refused, told


async def test_no_row_turns_away_or_breaks_under_who_may_do_everything(opened: Office) -> None:
    await person(opened, "ada", Role.ADMIN)
    async with signed_in(opened, "ada") as client:
        for row in sorted(rows(opened), key=lambda r: r.path == "/logout"):  # which ends the session
            status, reason = await outcome(row, client)
            assert reason == "" or (row.method, row.path) in PUBLIC_PAGES, (row.method, row.path, status, reason)


async def test_nobody_gets_only_what_is_public(opened: Office) -> None:
    async with opened.uploader() as client:
        for row in rows(opened):
            status, reason = await outcome(row, client)
            if row.rights is not None:
                assert (status, reason) == (401, "access.missing"), row.path
            elif (row.method, row.path) not in PUBLIC_PAGES:
                assert reason == "", row.path


async def test_a_viewer_reads_all_jobs_and_touches_none(opened: Office) -> None:
    from coordinator.jobs.queue import Request

    job = (await opened.coordinator.jobs.add(Request("train", "malaria", "north", frozenset(), {}), opened.clock()))[
        "job"
    ]
    await person(opened, "vera")
    await person(opened, "ugo", Role.UPLOADER)
    await person(opened, "rita", Role.RELEASE_MANAGER)
    async with signed_in(opened, "vera") as client:
        assert [j["job"] for j in (await client.get("/v1/jobs")).json()["jobs"]] == [job]
        assert (await client.post(f"/v1/jobs/{job}/cancel")).json()["error"]["code"] == "access.denied"
    async with signed_in(opened, "ugo") as client:
        assert (await client.get(f"/v1/jobs/{job}")).status_code == 200
        assert (await client.post(f"/v1/jobs/{job}/cancel")).json()["error"]["code"] == "job.unknown"
    async with opened.uploader(await opened.token(access.TRAIN, owner="south")) as client:
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
    async with signed_in(opened, "rita") as client:
        assert (await client.post(f"/v1/jobs/{job}/cancel")).status_code == 202


def test_nobody_hands_on_a_right_that_they_do_not_have() -> None:
    manager = Principal("rita", "user", OF_ROLE[Role.RELEASE_MANAGER])
    check_gift(manager, OF_ROLE[Role.VIEWER])
    check_gift(None, RIGHTS)
    with pytest.raises(CoordinatorError, match=r"access\.denied") as caught:
        check_gift(manager, OF_ROLE[Role.ADMIN])
    assert "user:manage" in caught.value.details["rights"]
