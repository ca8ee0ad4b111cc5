from __future__ import annotations

import pytest

from coordinator.access.forgery import csrf_token, own_path, right_token, same_origin
from coordinator.access.rates import Buckets, sender


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    buckets = Buckets(2, 3)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.5) == 0 and buckets.take("a", 0.5) == 0.5
    assert [buckets.take("a", 100.0) > 0 for _ in range(4)] == [False, False, False, True]
    assert buckets.take("a", 50.0) > 0  # a clock that goes back gives nothing
    assert all(Buckets(0, 0).take("a", 0.0) == 0 for _ in range(9))


def test_ever_new_senders_do_not_fill_the_memory() -> None:
    buckets = Buckets(1, 1)
    for number in range(3 * Buckets._MOST_KEYS):
        buckets.take(str(number), 0.0)
    assert len(buckets._levels) == Buckets._MOST_KEYS


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
    ],
)
def test_a_holder_of_ipv6_is_one_sender(address: str, who: str) -> None:
    assert sender(address) == who


def test_a_proxy_that_changes_the_host_needs_the_public_address() -> None:
    assert same_origin("https://n.example", None, "n.example")
    assert same_origin("https://N.example:8765", "same-origin", "n.example:8765")
    assert not same_origin("https://n.example", "same-origin", "inner:8765")
    assert same_origin("https://n.example", "same-origin", "inner:8765", {"https://n.example"})
    assert not same_origin("https://n.example", None, None) and not same_origin("https://", None, "")


def test_a_forms_token_belongs_to_one_secret() -> None:
    token = csrf_token("a")
    assert right_token(token, csrf_token("a")) and not right_token(token, csrf_token("b"))
    assert not right_token("", token) and not right_token("\udcff", token)


def test_only_paths_of_ours_are_gone_to() -> None:
    assert own_path("/releases?x=1", "/") == "/releases?x=1"
    for other in ("//e", "/\\e", "e", "", "/a\tb", "/\u00e9", "/" + "x" * 600, "https://e", "/a\\b"):
        assert own_path(other, "/") == "/"
