from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import access
from protocols.access import Failures, Kept, Token, holder, make
from protocols.errors import ProtocolError

NOW = datetime(2026, 2, 1, tzinfo=UTC)
CA = "ab" * 32
TOKEN = make(CA, bytes(range(38)))


def kept(**changes: object) -> Kept:
    values = {
        "id": TOKEN.id,
        "owner": "north",
        "secret_sha256": TOKEN.secret_sha256,
        "scopes": frozenset({access.TRAIN}),
        "expires": NOW + timedelta(days=1),
        "revoked": False,
    }
    return Kept(**{**values, **changes})  # type: ignore[arg-type]


@given(st.binary(min_size=38, max_size=38))
def test_a_token_reads_back_and_fits_into_a_header(random: bytes) -> None:
    token = make(CA, random)
    text = token.encode()
    assert Token.decode(text) == token and Token.decode(f" {text[:50]}\n{text[50:]} ") == token
    assert text.isascii() and " " not in text and len(token.secret) == 32
    assert not token.id.startswith("-")  # else `token revoke` would take it for an option


@pytest.mark.parametrize(
    "text",
    [
        "",
        "medmesh-token1",
        "medmesh1.abc",
        TOKEN.encode()[:-1],
        TOKEN.encode() + "A",
        TOKEN.encode().replace("token1", "token2"),
        TOKEN.encode().replace(".", ".."),
        TOKEN.encode() + "é",
        "x" * 1_000_000,
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match=r"token\.malformed"):
        Token.decode(text)


def test_a_token_grants_its_scopes_and_nothing_else() -> None:
    found = holder(TOKEN, kept(), NOW)
    assert found is not None and (found.name, found.kind) == ("north", "token")
    assert found.may(access.TRAIN) and not found.may(access.DATASET_UPLOAD)


@pytest.mark.parametrize("stored", [None, kept(revoked=True), kept(expires=NOW), kept(secret_sha256="0" * 64)], ids=str)
def test_unknown_revoked_expired_and_wrong_tokens_grant_nothing(stored: Kept | None) -> None:
    assert holder(TOKEN, stored, NOW) is None


def test_failures_block_for_a_minute_and_only_who_failed() -> None:
    failures = Failures()
    for second in range(Failures.MOST):
        assert not failures.blocked("a", second)
        failures.add("a", second)
    assert failures.blocked("a", Failures.MOST) and not failures.blocked("b", Failures.MOST)
    assert not failures.blocked("a", Failures.MOST + Failures.WINDOW_S)


def test_failures_from_a_million_addresses_take_no_memory() -> None:
    failures = Failures()
    for number in range(10_000):
        failures.add(str(number), 0.0)
    assert len(failures._times) <= 4096 and not failures.blocked("0", 1.0)


def test_one_who_failed_too_often_waits_until_the_oldest_failure_is_forgotten() -> None:
    failures = Failures(most=2, window_s=100.0)
    failures.add("a", 0.0)
    failures.add("a", 30.0)
    assert (failures.wait_s("a", 40.0), failures.wait_s("b", 40.0)) == (60.0, 0.0)
    failures.take_back("a")
    failures.take_back("b")
    assert failures.wait_s("a", 40.0) == 0.0
