"""The PIN and the case references behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_node.ui.errors import UiError
from edge_node.ui.vault import FREE_ATTEMPTS, LONGEST_WAIT_S, Vault, wait_s

CHEAP = {"n": 2, "r": 8, "p": 1}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[[], Vault]:
    """A vault as after a restart."""
    return lambda: Vault(tmp_path / "vault", clock, CHEAP)


def test_references_are_encrypted_on_the_disk(make: Callable[[], Vault], tmp_path: Path) -> None:
    make().set_reference("r1", "bed 4, Zhang")
    assert make().references() == {"r1": "bed 4, Zhang"}
    files = b"".join(path.read_bytes() for path in (tmp_path / "vault").iterdir())
    assert b"Zhang" not in files and b"bed" not in files
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "vault").iterdir())


def test_an_empty_reference_is_forgotten(make: Callable[[], Vault]) -> None:
    vault = make()
    vault.set_reference("r1", "bed 4")
    vault.set_reference("r1", "")
    assert vault.references() == {}


def test_a_pin_keeps_the_references_from_the_next_start(make: Callable[[], Vault]) -> None:
    vault = make()
    vault.set_reference("r1", "bed 4")
    vault.set_pin("2580")
    later = make()
    assert later.is_locked()
    with pytest.raises(UiError) as refused:
        later.references()
    assert refused.value.code == "ui.locked"
    later.unlock("2580")
    assert later.references() == {"r1": "bed 4"}
    later.lock()
    assert later.is_locked()


@pytest.mark.parametrize("pin", ["123", "", "12a4", "0000"])
def test_a_weak_pin_is_refused(make: Callable[[], Vault], pin: str) -> None:
    with pytest.raises(UiError) as refused:
        make().set_pin(pin)
    assert refused.value.code == "ui.pin_form"


def test_wrong_pins_cost_growing_waits_that_survive_a_restart(make: Callable[[], Vault], clock: Clock) -> None:
    make().set_pin("2580")
    codes = []
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(UiError) as refused:
            make().unlock("1111")
        codes.append(refused.value.code)
    assert codes == ["ui.pin_wrong"] * (FREE_ATTEMPTS - 1) + ["ui.pin_wait"]
    with pytest.raises(UiError) as refused:
        make().unlock("2580")
    assert refused.value.code == "ui.pin_wait", "not even the right one"
    clock.now += timedelta(seconds=31)
    vault = make()
    vault.unlock("2580")
    assert not vault.is_locked()
    vault.lock()
    vault.unlock("2580")


def test_a_clock_set_back_does_not_lock_for_ever(make: Callable[[], Vault], clock: Clock) -> None:
    make().set_pin("2580")
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(UiError):
            make().unlock("1111")
    clock.now -= timedelta(days=400)
    with pytest.raises(UiError) as refused:
        make().unlock("2580")
    assert refused.value.details["seconds"] <= LONGEST_WAIT_S
    clock.now += timedelta(seconds=LONGEST_WAIT_S + 1)
    make().unlock("2580")


def test_waits_double_up_to_an_hour() -> None:
    assert [wait_s(n) for n in (0, 4, 5, 6, 7, 40)] == [0, 0, 30, 60, 120, 3600]


def test_starting_afresh_keeps_the_locked_references_beside(make: Callable[[], Vault], tmp_path: Path) -> None:
    vault = make()
    vault.set_reference("r1", "bed 4")
    vault.set_pin("2580")
    locked = make()
    locked.set_aside()
    assert not locked.has_pin() and locked.references() == {}
    assert len(list((tmp_path / "vault").glob("cases.sealed.*"))) == 1


def test_a_damaged_file_is_said(make: Callable[[], Vault], tmp_path: Path) -> None:
    make().set_reference("r1", "bed 4")
    (tmp_path / "vault" / "cases.sealed").write_bytes(b"x" * 40)
    with pytest.raises(UiError) as refused:
        make().references()
    assert refused.value.code == "ui.vault_damaged"


def test_the_pin_can_be_taken_away(make: Callable[[], Vault]) -> None:
    vault = make()
    vault.set_pin("2580")
    vault.set_pin(None)
    assert not make().is_locked()
