"""People who sign in at a coordinator in this process."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from sqlalchemy import select

from coordinator.access.forgery import csrf_token
from coordinator.access.roles import Role
from coordinator.web.rows import COOKIE
from tests.support.uploads import Office

PASSWORD = "gentle otter counts rain"
ORIGIN = {"Origin": "https://n", "Sec-Fetch-Site": "same-origin"}


async def person(opened: Office, name: str, role: Role = Role.VIEWER) -> None:
    await opened.coordinator.users.add(name, role, opened.clock(), PASSWORD)


@asynccontextmanager
async def browser(opened: Office, address: str = "192.0.2.7") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(opened.app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://n", headers=ORIGIN) as client:
        yield client


@asynccontextmanager
async def signed_in(opened: Office, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser with a session, whose requests carry the session's token; the sign-in itself is skipped."""
    known = await opened.coordinator.users.recognise(name, PASSWORD, "192.0.2.7", opened.clock())
    secret = await opened.coordinator.sessions.open(known, opened.clock())
    async with browser(opened) as client:
        client.cookies.set(COOKIE, secret, domain="n.local")
        client.headers["X-CSRF-Token"] = csrf_token(secret)
        yield client


def hidden(page: str, name: str = "csrf") -> str:
    """A hidden field of a page."""
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


async def sign_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD, to: str = "") -> httpx.Response:
    """As a browser does it: load the form, send it."""
    page = (await client.get("/login", params={"next": to} if to else None)).text
    form = {"csrf": hidden(page), "next": hidden(page, "next"), "name": name, "password": password}
    return await client.post("/login", data=form)


async def stored(opened: Office, table: Any) -> list[Any]:
    """All rows of a table."""
    async with opened.coordinator.database.read() as connection:
        return list((await connection.execute(select(table))).all())


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]
