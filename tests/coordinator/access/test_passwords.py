from __future__ import annotations

import asyncio
import threading

import pytest

from coordinator.access.passwords import LEAST_CHARACTERS, MOST_CHARACTERS, Cost, Hasher, check_rule
from coordinator.access.users import folded
from coordinator.errors import CoordinatorError

CHEAP = Cost(passes=1, memory_kib=8, lanes=1)


@pytest.mark.parametrize(
    "password", ["ten chars!", "a" * 5 + "bcdef", "correct horse battery", "风吹草低见牛羊天苍野", "x1y2z3w4v5" * 25]
)
def test_length_is_what_counts(password: str) -> None:
    check_rule(password, "ada", "District network")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password.short"),
        ("x" * (LEAST_CHARACTERS - 1), "password.short"),
        ("ab" * MOST_CHARACTERS, "password.long"),
        ("aaaaaaaaaaaa", "password.guessable"),
        ("1234567890", "password.guessable"),
        ("PASSWORD1234", "password.guessable"),
        ("Ada Lovelace", "password.guessable"),
        ("adalovelace2026!", "password.guessable"),
        ("ｅcalevol ada", "password.guessable"),
        ("District Network", "password.guessable"),
        ("medmeshmedmesh1", "password.guessable"),
    ],
)
def test_what_would_be_tried_first_is_refused(password: str, code: str) -> None:
    with pytest.raises(CoordinatorError) as caught:
        check_rule(password, "Ada Lovelace", "District network", "medmesh")
    assert caught.value.code == code
    assert not password or password not in str(caught.value)


async def test_a_password_is_right_however_a_keyboard_composes_it() -> None:
    hasher = Hasher(CHEAP)
    kept = await hasher.hash("café au lait!")
    assert kept.startswith("$argon2id$") and await hasher.verify(kept, "cafe\u0301 au lait!")
    assert not await hasher.verify(kept, "cafe au lait!")
    assert not await hasher.verify("not a hash", "café au lait!")
    assert not await hasher.verify(None, "café au lait!")
    hasher.close()


async def test_two_at_a_time_and_few_waiting() -> None:
    hasher, go, running, most = Hasher(CHEAP), threading.Event(), [], []

    def slow() -> int:
        running.append(1)
        most.append(len(running))
        go.wait(10)
        running.pop()
        return 1

    room = Hasher.AT_ONCE + Hasher.WAITING
    tasks = [asyncio.create_task(hasher._run(slow)) for _ in range(room)]
    await asyncio.sleep(0.05)
    with pytest.raises(CoordinatorError, match=r"login\.busy"):
        await hasher.hash("gentle otter counts rain")
    tasks[-1].cancel()  # who hangs up gives the place to another
    await asyncio.sleep(0)
    again = asyncio.create_task(hasher.hash("gentle otter counts rain"))
    go.set()
    assert sum(await asyncio.gather(*tasks[:-1])) == room - 1 and await again
    assert max(most) == Hasher.AT_ONCE
    hasher.close()


def test_a_hash_of_another_cost_is_outdated() -> None:
    cheap, dearer = Hasher(CHEAP), Hasher(Cost(passes=2, memory_kib=8, lanes=1))
    kept = cheap._argon2.hash("x")
    assert dearer.outdated(kept) and not cheap.outdated(kept)


def test_names_that_look_alike_are_one() -> None:
    assert folded("ＡＤＡ") == folded("ada") == folded("Ada") and folded("straße") == folded("STRASSE")
