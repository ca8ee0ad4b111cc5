"""The key: made once, kept in the keystore or a file of mode 0600, and missed with a clear sentence."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import threading
import time
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import keyring
import pytest

from edge_node.errors import EdgeError
from edge_node.outbox.keys import KeyPlaceError, SystemKeystore
from edge_node.outbox.unlock import KEY_FILE
from tests.edge_node.support.outbox import Bench
from tests.edge_node.support.results import result


async def failure(bench: Bench) -> str:
    with pytest.raises(EdgeError) as caught:
        async with bench.outbox.history():
            pass
    return caught.value.code


async def test_a_keystore_that_works_gets_the_key_and_no_file_is_written(bench: Bench) -> None:
    (first,) = await bench.save(result(1))
    assert [len(key) for key in bench.keystore.keys.values()] == [32]
    assert not bench.key_path.exists()
    assert (await bench.outbox.counts()).key_place == "keystore"
    await bench.confirm(first)


@pytest.mark.parametrize("fault", ["silent", "forgets"])
async def test_without_a_keystore_the_key_is_in_a_file_for_its_owner_only(bench: Bench, fault: str) -> None:
    setattr(bench.keystore, fault, True)
    (first,) = await bench.save(result(1))
    assert bench.key_path.stat().st_mode & 0o777 == 0o600
    assert (await bench.outbox.counts()).key_place == "file"
    setattr(bench.keystore, fault, False)
    await bench.confirm(first)  # a keystore that appears later changes nothing


async def test_a_key_file_that_others_could_read_is_closed_to_them(bench: Bench) -> None:
    bench.options["new_key_in"] = (KEY_FILE,)
    (first,) = await bench.save(result(1))
    bench.key_path.chmod(0o644)
    await bench.confirm(first)
    assert bench.key_path.stat().st_mode & 0o777 == 0o600


async def test_a_locked_keystore_is_a_sentence_and_no_new_key_is_made(bench: Bench) -> None:
    (first,) = await bench.save(result(1))
    bench.keystore.silent = True
    assert await failure(bench) == "outbox.key_unavailable"
    assert not bench.key_path.exists()
    bench.keystore.silent = False
    await bench.confirm(first)


async def test_a_lost_key_and_a_wrong_key_are_told_apart(bench: Bench) -> None:
    bench.options["new_key_in"] = (KEY_FILE,)
    await bench.save(result(1))
    right = bench.key_path.read_bytes()
    for content in (base64.b64encode(b"x" * 32), b"", b"not base64!", b"\xff\xfe"):
        bench.key_path.write_bytes(content)
        assert await failure(bench) == "outbox.key_wrong"
    bench.key_path.unlink()
    assert await failure(bench) == "outbox.key_missing"
    assert not bench.key_path.exists()
    bench.key_path.write_bytes(right)
    async with bench.outbox.history() as history:
        assert len((await history.search(None, None, 9)).results) == 1


async def test_programs_that_start_together_make_one_key(bench: Bench) -> None:
    await asyncio.gather(*(bench.save(result(number)) for number in range(8)))
    assert len(bench.keystore.keys) == 1
    async with bench.outbox.history() as history:
        listed = await history.search(None, None, 20)
    assert (len(listed.results), listed.unreadable) == (8, 0)


async def test_a_program_killed_while_it_made_the_key_is_followed_up(bench: Bench) -> None:
    bench.options["new_key_in"] = (KEY_FILE,)
    await bench.save(result(1))
    key = bench.key_path.read_bytes()
    with closing(sqlite3.connect(bench.path)) as file, file:
        file.execute("DELETE FROM note WHERE key IN ('key_place', 'key_check')")
    await bench.save(result(2))
    assert bench.key_path.read_bytes() == key


class SlowKeyring:
    """The system's keystore, which may hang as when it asks on a desktop where nobody is."""

    def __init__(self, delay_s: float = 0.0, priority: float = 5, fault: Exception | None = None) -> None:
        self.priority = priority
        self._delay_s = delay_s
        self._fault = fault
        self._kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(self._delay_s)
        if self._fault:
            raise self._fault
        return self._kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._kept[service, username] = password


def use(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)


async def test_the_systems_keystore_keeps_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, SlowKeyring())
    place = SystemKeystore()
    assert await place.read("n") is None
    await place.write("n", b"k" * 32)
    assert await place.read("n") == b"k" * 32


@pytest.mark.parametrize(
    "backend",
    [
        SlowKeyring(priority=0),
        SlowKeyring(delay_s=0.4),
        SlowKeyring(fault=RuntimeError("locked")),
        SimpleNamespace(priority=5),
    ],
)
async def test_a_keystore_that_is_none_or_hangs_or_fails_is_given_up(
    monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    monkeypatch.setattr("edge_node.outbox.keys._KEYSTORE_TIMEOUT_S", 0.1)
    use(monkeypatch, backend)
    place = SystemKeystore()
    threads = threading.active_count()
    for _ in range(5):
        with pytest.raises(KeyPlaceError):
            await place.read("n")
    assert threading.active_count() <= threads + 1, "one question at a time"
