from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocols.errors import ProtocolError, table
from protocols.federation.exchange import Exchange, pack_change
from protocols.federation.guard import NORM_CLIP, Reply, judge, read_reply
from protocols.federation.head import Head

ZERO = Head(np.zeros((6, 2), np.float32), np.zeros(2, np.float32))
SHAPE = ZERO.shape
ALL = np.ones(2, dtype=bool)


def head(seed: int, size: float = 1.0) -> Head:
    generator = np.random.default_rng(seed)
    return Head((generator.normal(size=(6, 2)) * size).astype(np.float32), np.zeros(2, np.float32))


def reply(site: str, seed: int = 1, size: float = 1.0, exchange: Exchange = "float16", **metrics: Any) -> Reply:
    return Reply(site, pack_change(head(seed, size), ZERO, exchange), {"images": 50, "score": 0.9, **metrics})


def codes(*replies: Reply, asked: str = "abc") -> dict[str, str]:
    found = judge(list(asked), replies, SHAPE, "float16", dict.fromkeys(asked, ALL))
    return {d.site: d.code for d in found.dropped}


def test_honest_replies_are_kept() -> None:
    found = judge("abc", [reply(s, i) for i, s in enumerate("abc")], SHAPE, "float16", dict.fromkeys("abc", ALL))
    assert [u.site for u in found.kept] == ["a", "b", "c"]
    assert found.dropped == ()
    np.testing.assert_allclose(found.kept[1].change[:-2].reshape(6, 2), head(1).weights, atol=2e-3)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Reply("a", {}, {}), "federation.reply_keys"),
        (Reply("a", {**reply("a").arrays, "more": np.zeros(2)}, reply("a").metrics), "federation.reply_keys"),
        (Reply("a", reply("a").arrays, {"images": 50}), "federation.reply_keys"),
        (reply("a", more=1.0), "federation.reply_keys"),
        (reply("a", exchange="int8"), "federation.reply_keys"),
        (
            Reply("a", {"weights": np.zeros((6, 2)), "bias": np.zeros(2, np.float16)}, reply("a").metrics),
            "federation.reply_dtype",
        ),
        (
            Reply("a", {"weights": np.full((6, 2), "x"), "bias": np.zeros(2, np.float16)}, reply("a").metrics),
            "federation.reply_dtype",
        ),
        (
            Reply("a", {k: v[:1] for k, v in reply("a").arrays.items()}, reply("a").metrics),
            "federation.reply_shape",
        ),
        (
            Reply("a", {k: v * np.float16("nan") for k, v in reply("a").arrays.items()}, reply("a").metrics),
            "federation.reply_not_finite",
        ),
        (
            Reply("a", {k: v + np.float16("inf") for k, v in reply("a").arrays.items()}, reply("a").metrics),
            "federation.reply_not_finite",
        ),
        (reply("a", images=10**12), "federation.reply_count"),
        (reply("a", images=0), "federation.reply_count"),
        (reply("a", images=-5), "federation.reply_count"),
        (reply("a", images=50.0), "federation.reply_count"),
        (reply("a", images=True), "federation.reply_count"),
        (reply("a", score=1.5), "federation.reply_score"),
        (reply("a", score=float("nan")), "federation.reply_score"),
        (reply("a", score=[0.5]), "federation.reply_score"),
        (reply("a", size=20.0), "federation.reply_norm"),
    ],
)
def test_a_bad_reply_is_dropped_and_named_and_the_others_kept(bad: Reply, code: str) -> None:
    assert codes(bad, reply("b"), reply("c")) == {"a": code}
    assert code in table()


def test_whoever_answers_twice_or_unasked_or_not_at_all_is_named() -> None:
    assert codes(reply("a"), reply("b"), reply("a"), reply("d")) == {
        "a": "federation.reply_twice",
        "c": "federation.reply_silent",
        "d": "federation.reply_unasked",
    }


def test_a_rather_long_change_is_shortened() -> None:
    replies = [reply("a", 1), reply("b", 1), reply("c", 1, size=3.0)]
    found = judge("abc", replies, SHAPE, "float16", dict.fromkeys("abc", ALL))
    lengths = [float(np.linalg.norm(u.change)) for u in found.kept]
    assert lengths[2] == pytest.approx(NORM_CLIP * lengths[0], rel=1e-3)


def test_of_two_replies_nobody_can_say_which_is_too_long() -> None:
    assert codes(reply("a"), reply("b", size=100.0), asked="ab") == {}


def test_a_site_without_a_label_abstains_from_it() -> None:
    masks = {"a": ALL, "b": ALL, "c": np.array([True, False])}
    replies = [reply("a", 1), reply("b", 1), reply("c", 2)]
    found = judge("abc", replies, SHAPE, "float16", masks)
    columns = [u.change.reshape(7, 2) for u in found.kept]
    np.testing.assert_array_equal(columns[2][:, 1], columns[0][:, 1])
    assert not np.array_equal(columns[2][:, 0], columns[0][:, 0])


def test_a_label_that_nobody_speaks_of_stays_as_it_is() -> None:
    masks = {s: np.array([True, False]) for s in "abc"}
    found = judge("abc", [reply(s) for s in "abc"], SHAPE, "float16", masks)
    assert all((u.change.reshape(7, 2)[:, 1] == 0).all() for u in found.kept)


def test_int8_is_read_within_half_a_step() -> None:
    update = read_reply(reply("a", exchange="int8"), SHAPE, "int8")
    wanted = head(1).weights
    step = np.abs(wanted).max(axis=0) / 127
    assert (np.abs(update.change[:-2].reshape(6, 2) - wanted) <= step / 2 + 1e-6).all()


def test_an_int8_scale_that_is_no_number_is_refused() -> None:
    arrays = pack_change(head(1), ZERO, "int8")
    arrays["scale"] = np.array([np.inf, 1.0], np.float32)
    with pytest.raises(ProtocolError) as caught:
        read_reply(Reply("a", arrays, {"images": 50, "score": 0.9}), SHAPE, "int8")
    assert caught.value.code == "federation.reply_not_finite"
