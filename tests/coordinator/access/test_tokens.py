from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from coordinator.errors import CoordinatorError
from coordinator.store.tables import tokens
from protocols import access
from protocols.access import Failures, Token
from protocols.errors import MedMeshError
from tests.support.uploads import Clock, Office, office


async def refused(opened: Office, credential: str, code: str, address: str = "192.0.2.1") -> None:
    with pytest.raises(MedMeshError) as caught:
        await opened.coordinator.tokens.check(credential, address, opened.clock())
    assert caught.value.code == code


async def test_a_token_works_until_it_expires_or_is_revoked(tmp_path: Path) -> None:
    async with office(tmp_path) as opened:
        service, clock = opened.coordinator.tokens, Clock()
        made = await service.create("North", [access.TRAIN], timedelta(days=2), clock())
        other = await service.create("South", [access.TRAIN], timedelta(days=2), clock())
        found = await service.check(made["token"], "", clock())
        assert (found.name, found.rights) == ("North", {access.TRAIN})
        await service.revoke(other["id"])
        await refused(opened, other["token"], "token.refused")
        clock.pass_(days=2)
        assert {r["owner"]: r["state"] for r in await service.list(clock())} == {"North": "expired", "South": "revoked"}
        opened.clock.pass_(days=2)
        await refused(opened, made["token"], "token.refused")
        with pytest.raises(CoordinatorError, match=r"token\.unknown"):
            await service.revoke("nobody")


async def test_tokens_without_a_name_do_not_share_an_owner(tmp_path: Path) -> None:
    async with office(tmp_path) as opened:
        service, now = opened.coordinator.tokens, opened.clock()
        made = [await service.create(None, [access.TRAIN], timedelta(days=2), now) for _ in range(2)]
        assert made[0]["owner"] != made[1]["owner"]


async def test_the_secret_is_nowhere_in_the_store(tmp_path: Path) -> None:
    async with office(tmp_path) as opened:
        text = await opened.token(access.TRAIN)
        secret = text.rsplit(".", 1)[1]
        async with opened.coordinator.database.read() as connection:
            rows = repr((await connection.execute(select(tokens))).all())
        assert secret not in rows and Token.decode(text).secret_sha256 in rows
        assert secret not in repr(await opened.coordinator.tokens.list(opened.clock()))


async def test_guessing_is_slowed_down_without_locking_the_neighbours_out(tmp_path: Path) -> None:
    async with office(tmp_path) as opened:
        right, neighbour = await opened.token(access.TRAIN), await opened.token(access.TRAIN)
        wrong = right[:-2] + ("AA" if right[-2:] != "AA" else "BA")
        for _ in range(Failures.MOST):
            await refused(opened, wrong, "token.refused")
        await refused(opened, wrong, "token.too_many_failures")
        await refused(opened, right, "token.too_many_failures")  # who guesses does not learn that this one was right
        assert await opened.coordinator.tokens.check(right, "192.0.2.9", opened.clock())
        assert await opened.coordinator.tokens.check(neighbour, "192.0.2.1", opened.clock())
        opened.clock.pass_(minutes=2)
        assert await opened.coordinator.tokens.check(right, "192.0.2.1", opened.clock())


async def test_unknown_tokens_of_ever_new_names_are_slowed_down_too(tmp_path: Path) -> None:
    async with office(tmp_path) as opened:
        ca = opened.coordinator.authority.fingerprint
        made = [access.make(ca, bytes([n]) * 38).encode() for n in range(Failures.MOST + 1)]
        for text in made[:-1]:
            await refused(opened, text, "token.refused")
        await refused(opened, made[-1], "token.too_many_failures")
