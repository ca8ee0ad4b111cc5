from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.worker.frames import MAX_BODY_BYTES, BrokenFrameError, Frame, pack, read_frame, unpack, write_frame
from edge_node.worker.wire import read_recognitions, read_refusal
from tests.support.manifests import example


def sent(frame: Frame) -> bytes:
    stream = io.BytesIO()
    write_frame(stream, frame)
    return stream.getvalue()


def test_frames_arrive_as_they_were_sent_and_then_comes_the_end() -> None:
    frames = [Frame({"a": "中\udcff"}), Frame({}, b"\0" * 70_000)]
    stream = io.BytesIO(b"".join(sent(frame) for frame in frames))
    assert [read_frame(stream) for _ in range(3)] == [*frames, None]


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        sent(Frame({"a": 1}))[:-1],
        sent(Frame({}, b"123"))[:-1],
        struct.pack(">II", 2, MAX_BODY_BYTES + 1) + b"{}",
        struct.pack(">II", 1 << 30, 0),
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 2, 0) + b"\xff\xff",
    ],
)
def test_what_is_no_frame_is_refused_before_room_is_made_for_it(data: bytes) -> None:
    with pytest.raises(BrokenFrameError):
        read_frame(io.BytesIO(data))


def test_arrays_come_back_with_type_and_shape() -> None:
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0.5]), np.zeros((0, 4), dtype=np.float32)]
    back = unpack(*pack(arrays))
    assert [(a.dtype, a.shape) for a in back] == [(a.dtype, a.shape) for a in arrays]
    assert all((a == b).all() for a, b in zip(arrays, back, strict=True))


@pytest.mark.parametrize(
    ("described", "body"),
    [
        (None, b""),
        ([["float32", [2]]], b"1234"),
        ([["float32", [1]]], b"12345"),
        ([["object", [1]]], b"12345678"),
        ([["float32", [-1]]], b"1234"),
        ([["float32", [1 << 19, 1 << 19]]], b"1234"),
        ([["float32", [True]]], b"1234"),
        ([["float32"]], b""),
        ([["float32", [1]]], np.array([np.nan], dtype=np.float32).tobytes()),
    ],
)
def test_arrays_that_do_not_fit_their_description_are_refused(described: object, body: bytes) -> None:
    with pytest.raises(BrokenFrameError):
        unpack(described, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KEYS = ("sha256", "in_set", "outcome", "reasons", "novelty", "quality", "prepare_ms", "infer_ms", "evidence")


@given(st.fixed_dictionaries(dict.fromkeys(KEYS, JSON)) | JSON)
def test_no_answer_of_a_broken_worker_gets_through_or_raises_anything_else(document: object) -> None:
    described, body = pack([np.array([0.25, 0.75])])
    frame = Frame({"done": [document], "arrays": described}, body)
    with pytest.raises(BrokenFrameError):
        read_recognitions(frame, None, [example()])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "header",
    [
        {"refused": "no.such.code", "details": {}},
        {"refused": 3},
        {"system": "x"},
        {"refused": "defect", "details": []},
        {"refused": "image.too_small", "details": {"code": "x"}},
    ],
)
def test_a_made_up_failure_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(BrokenFrameError):
        read_refusal(Frame(header))
