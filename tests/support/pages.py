"""People who look at the coordinator's pages: signed in by a cookie that only tests believe."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.uploads import Office, office

EVERYTHING = [
    "view",
    "dataset:upload",
    "dataset:any",
    "model:upload",
    "train",
    "job:any",
    "release:propose",
    "release:approve",
    "release:rollout",
    "federation:run",
    "node:manage",
    "kb:review",
    "label:map",
    "upstream:manage",
    "user:manage",
    "token:manage",
    "audit:read",
]
CSRF = "csrf-of-this-session"
COOKIE = "test_person"


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    name: str
    rights: frozenset[str]
    kind: str = "user"

    def may(self, right: str) -> bool:
        return right in self.rights


def believing(app: ASGIApp) -> ASGIApp:
    """The application, to which the cookie says who asks."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            told = HTTPConnection(scope).cookies.get(COOKIE)
            if told is not None:
                name, _, rights = urllib.parse.unquote(told).partition("|")
                person = Person(name, frozenset(rights.split()))
                scope.setdefault("state", {}).update(principal=person, csrf=CSRF)
        await app(scope, receive, send)

    return call


def cookie(name: str = "Ada", rights: Iterable[str] = EVERYTHING) -> str:
    """The cookie's value for somebody with these rights."""
    return urllib.parse.quote(f"{name}|{' '.join(rights)}")


@dataclass
class Browser:
    """Reads pages and sends forms, as a browser without scripts does."""

    client: httpx.AsyncClient
    office: Office

    async def get(self, path: str, status: int = 200, language: str | None = None) -> httpx.Response:
        headers = {} if language is None else {"Accept-Language": language}
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:600])
        return answer

    async def post(self, path: str, status: int = 303, **fields: str) -> httpx.Response:
        answer = await self.client.post(path, data={"csrf": CSRF, **fields})
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:600])
        return answer


@asynccontextmanager
async def browsing(home: Path, rights: Iterable[str] = EVERYTHING, name: str = "Ada") -> AsyncIterator[Browser]:
    """Somebody with these rights at a coordinator."""
    async with office(home) as opened:
        transport = httpx.ASGITransport(believing(opened.app), client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://n") as client:
            client.cookies.set(COOKIE, cookie(name, rights))
            yield Browser(client, opened)


def text_of(html: str) -> str:
    """What a reader sees of a page, roughly."""
    without = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without)).strip()
