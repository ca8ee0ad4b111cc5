from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocols.errors import ProtocolError
from protocols.federation.envelope import MAX_DOCUMENT_BYTES, Document, pack, unpack
from protocols.federation.exchange import (
    EXCHANGES,
    Arrays,
    Exchange,
    pack_change,
    pack_head,
    pack_standard,
    unpack_change,
    unpack_head,
)
from protocols.federation.guard import Reply, judge
from protocols.federation.head import Head, Standard
from protocols.federation.spatial import body_shapes, head_of, weights_of
from protocols.federation.task import Subject, read_subject
from protocols.spatial.shape import SpatialShape

SHAPE = SpatialShape(width=3, depth=2, members=2, pooling=("average", "attention"))
CHANNELS = 5
ALL = np.ones(2, dtype=bool)


def weights(shape: SpatialShape = SHAPE, channels: int = CHANNELS, labels: int = 2) -> dict[str, Any]:
    chance = np.random.default_rng(0)
    sizes: dict[str, tuple[int, ...]] = {
        **shape.body(channels),
        "answer": (shape.members, shape.features, labels),
        "answer_bias": (shape.members, labels),
    }
    return {name: chance.normal(size=size).astype(np.float32) for name, size in sizes.items()}


HEAD = head_of(SHAPE, weights())


def moved(seed: int, size: float = 0.01) -> Head:
    flat = HEAD.flat()
    return HEAD.like(flat + np.random.default_rng(seed).normal(0, size, flat.shape))


def reply(site: str, seed: int = 1, exchange: Exchange = "float16", size: float = 0.01) -> Reply:
    return Reply(site, pack_change(moved(seed, size), HEAD, exchange), {"images": 50, "score": 0.5})


def test_members_answers_are_averaged_by_the_head_that_travels() -> None:
    stacked = weights()
    features = np.random.default_rng(1).normal(size=(2, 7, SHAPE.features)).astype(np.float32)
    wanted = (features @ stacked["answer"] + stacked["answer_bias"][:, np.newaxis]).mean(axis=0)
    side_by_side = features.transpose(1, 0, 2).reshape(7, -1)
    np.testing.assert_allclose(side_by_side @ HEAD.weights + HEAD.bias, wanted, atol=1e-5)


def test_weights_come_back_with_the_mean_of_the_members_biases() -> None:
    stacked, back = weights(), weights_of(SHAPE, HEAD)
    assert back.keys() == stacked.keys()
    for name in stacked.keys() - {"answer_bias"}:
        np.testing.assert_allclose(back[name], stacked[name], rtol=1e-6)
    np.testing.assert_allclose(back["answer_bias"], np.tile(HEAD.bias, (2, 1)))
    assert {name: value.shape for name, value in HEAD.body.items()} == body_shapes(SHAPE, CHANNELS)


def test_a_head_comes_back_from_its_numbers() -> None:
    back = HEAD.like(HEAD.flat())
    for name, value in HEAD.arrays().items():
        np.testing.assert_array_equal(back.arrays()[name], value)
    assert HEAD.flat()[-2:] == pytest.approx(HEAD.bias)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_change_arrives_within_its_rounding(exchange: Exchange) -> None:
    wanted = moved(3).flat() - HEAD.flat()
    found = unpack_change(pack_change(moved(3), HEAD, exchange), HEAD.shape, exchange)
    assert np.abs(found - wanted).max() < (2e-5 if exchange == "float16" else 0.04 / 127)


def test_a_head_is_read_only_with_the_body_that_was_announced() -> None:
    body = HEAD.shape.body
    back = unpack_head(pack_head(HEAD), body)
    assert back.shape == HEAD.shape
    for arrays, code in (
        (pack_head(Head(HEAD.weights, HEAD.bias)), "federation.reply_keys"),
        ({**pack_head(HEAD), "mixed4/reduce": np.zeros((2, 2), np.float16)}, "federation.reply_shape"),
    ):
        with pytest.raises(ProtocolError) as caught:
            unpack_head(arrays, body)
        assert caught.value.code == code
    with pytest.raises(ProtocolError):
        unpack_head(pack_head(HEAD))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_round_costs_at_most_2_2_times_the_head(exchange: Exchange) -> None:
    shape = SpatialShape(width=48, depth=2)  # the head that ``train --effort standard`` ends with
    head = head_of(shape, weights(shape, 768))
    coordinates = Standard(np.zeros(2 * 768, np.float32), np.ones(2 * 768, np.float32))
    config: dict[str, Any] = Subject.of_maps("malaria", "a" * 64, shape).document()
    down = Document(
        b"1" * 8, "train", {"arrays": pack_head(head), "standard": pack_standard(coordinates)}, {}, {"config": config}
    )
    up = Document(b"1" * 8, "", {"arrays": pack_change(head, head, exchange)}, {"metrics": {"images": 50}})
    size = len(pack(down)) + len(pack(up))
    assert size / (4 * head.flat().size) < (1.1 if exchange == "float16" else 0.9)
    assert set(unpack(pack(up)).arrays["arrays"]) == set(up.arrays["arrays"])
    scored = Document(b"1" * 8, "evaluate", {f"h{n}": pack_head(head) for n in range(8)})
    assert len(pack(scored)) < MAX_DOCUMENT_BYTES and unpack(pack(scored)).arrays.keys() == scored.arrays.keys()


def with_array(name: str, change: Any) -> Arrays:
    found = dict(reply("bad").arrays)
    found[name] = change(found[name])
    return found


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        (with_array("mixed4/reduce", lambda a: a * np.float16(np.nan)), "federation.reply_not_finite"),
        (with_array("mixed7/0/mix", lambda a: a[:-1]), "federation.reply_shape"),
        (with_array("mixed7/reduce_bias", lambda a: a.astype(np.float64)), "federation.reply_dtype"),
        ({k: v for k, v in reply("bad").arrays.items() if k != "mixed4/0/around"}, "federation.reply_keys"),
        ({**reply("bad").arrays, "mixed4/9/around": np.zeros((1, 1), np.float16)}, "federation.reply_keys"),
        (reply("bad", size=1.0).arrays, "federation.reply_norm"),
    ],
)
def test_a_bad_body_is_dropped_and_named(arrays: Arrays, code: str) -> None:
    replies = [*(reply(s, n) for n, s in enumerate("abc")), Reply("bad", arrays, reply("bad").metrics)]
    asked = ["a", "b", "c", "bad"]
    found = judge(asked, replies, HEAD.shape, "float16", dict.fromkeys(asked, ALL))
    assert [(d.site, d.code) for d in found.dropped] == [("bad", code)]
    assert [u.site for u in found.kept] == ["a", "b", "c"]


def test_a_site_abstains_from_a_label_and_speaks_of_the_body() -> None:
    masks = {"a": ALL, "b": ALL, "c": np.array([True, False])}
    found = judge("abc", [reply(s, n) for n, s in enumerate("abc")], HEAD.shape, "float16", masks)
    kept = [HEAD.like(u.change) for u in found.kept]
    own = HEAD.like(moved(2).flat() - HEAD.flat())
    np.testing.assert_allclose(kept[2].body["mixed4/reduce"], own.body["mixed4/reduce"], atol=1e-4)
    np.testing.assert_allclose(kept[2].weights[:, 0], own.weights[:, 0], atol=1e-4)
    np.testing.assert_allclose(kept[2].weights[:, 1], (kept[0].weights[:, 1] + kept[1].weights[:, 1]) / 2, atol=1e-6)


def test_a_task_says_which_maps_and_a_linear_reader_finds_no_taps_in_it() -> None:
    subject = Subject.of_maps("malaria", "a" * 64, SHAPE)
    assert read_subject(subject.document()) == subject
    assert subject.taps == ("mixed4_map", "mixed7_map")
    assert "taps" not in subject.document()


@pytest.mark.parametrize(
    "wrong",
    [
        {"maps": []},
        {"maps": ["mixed2"]},
        {"maps": ["mixed4", "mixed4"]},
        {"maps": [["mixed4"]]},
        {"pooling": ["median"]},
        {"width": 0},
        {"width": 4096},
        {"depth": 1000},
        {"members": -1},
        {"residual": 1},
        {"width": "3"},
        {"trunk": "a"},
        {"disease": "../x"},
    ],
)
def test_a_task_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_subject({**Subject.of_maps("malaria", "a" * 64, SHAPE).document(), **wrong})
    assert caught.value.code == "federation.task_malformed"
