"""People who look at the coordinator's pages, as a browser without scripts does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from coordinator.access.roles import Role
from tests.support.people import person, signed_in
from tests.support.uploads import Office, office

ADDRESS = "192.0.2.7"


@dataclass
class Browser:
    """Reads pages and sends forms."""

    client: httpx.AsyncClient
    office: Office

    async def get(self, path: str, status: int = 200, language: str | None = None) -> httpx.Response:
        headers = {} if language is None else {"Accept-Language": language}
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:600])
        return answer

    async def post(self, path: str, expected: int = 303, /, **fields: str) -> httpx.Response:
        answer = await self.client.post(path, data={"csrf": self.client.headers["X-CSRF-Token"], **fields})
        assert answer.status_code == expected, (path, answer.status_code, text_of(answer.text)[:600])
        return answer


@asynccontextmanager
async def browsing(home: Path, role: Role = Role.ADMIN, name: str = "Ada") -> AsyncIterator[Browser]:
    """Somebody with this role at a coordinator."""
    async with office(home) as opened:
        await person(opened, name, role)
        async with signed_in(opened, name) as client:
            yield Browser(client, opened)


def text_of(html: str) -> str:
    """What a reader sees of a page, roughly."""
    without = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without)).strip()
