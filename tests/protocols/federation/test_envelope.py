from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.federation.envelope import PIECE_BYTES, Document, Reassembly, id_of, is_piece, pack, pieces, unpack

NAME = b"12345678"


def document(size: int = 3) -> Document:
    weights = np.arange(size * 2, dtype=np.float16).reshape(size, 2)
    return Document(
        NAME,
        "train",
        {
            "arrays": {"weights": weights, "bias": np.array([1, 2], np.float32)},
            "standard": {"q": np.array([-3], np.int8)},
        },
        {"metrics": {"images": 50, "score": 0.5}},
        {"config": {"labels": ["健康", "ill"]}},
    )


def malformed(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(data)
    assert caught.value.code == "federation.document_malformed"


def test_a_document_comes_back_as_it_was() -> None:
    wanted, found = document(), unpack(pack(document()))
    assert (found.id, found.kind, found.metrics, found.configs, found.error) == (
        wanted.id,
        wanted.kind,
        wanted.metrics,
        wanted.configs,
        "",
    )
    for record, arrays in wanted.arrays.items():
        for key, value in arrays.items():
            np.testing.assert_array_equal(found.arrays[record][key], value)
            assert found.arrays[record][key].dtype == value.dtype


@given(st.integers(0, 400), st.binary(max_size=8))
def test_cut_off_or_altered_documents_are_refused_or_read_but_never_crash(cut: int, other: bytes) -> None:
    data = pack(document())
    for bad in (data[:cut], data[:cut] + other + data[cut + len(other) :], data + other):
        try:
            unpack(bad)
        except ProtocolError as error:
            assert error.code == "federation.document_malformed"


def test_a_cut_off_array_and_bytes_that_are_left_over_are_refused() -> None:
    malformed(pack(document())[:-1])
    malformed(pack(document()) + b"x")


@pytest.mark.parametrize(
    "listed",
    [
        ["arrays", "w", "float64", [1]],
        ["arrays", "w", "object", [1]],
        ["arrays", "w", "float16", [-1]],
        ["arrays", "w", "float16", [2**40]],
        ["arrays", "w", "float16", [2**23, 2**23]],
        ["arrays", "w", "float16", [1, 1, 1]],
        ["arrays", "w", "float16", [True]],
        ["arrays" * 20, "w", "float16", [1]],
        ["arrays", "w", "float16"],
        "w",
    ],
)
def test_arrays_that_are_announced_wrongly_are_refused(listed: Any) -> None:
    header = {"kind": "", "error": "", "arrays": [listed], "metrics": {}, "configs": {}}
    text = json.dumps(header).encode()
    malformed(b"MMFD\x01" + NAME + struct.pack(">I", len(text)) + text + b"\0" * 16)


def test_pieces_are_small_and_come_together_again() -> None:
    data = pack(document(20_000))
    cut = list(pieces(data))
    assert len(cut) > 3
    assert all(is_piece(p) and len(p) <= PIECE_BYTES + 32 and id_of(p) == NAME for p in cut)
    reassembly = Reassembly(200_000)
    assert [reassembly.accept(p) for p in cut[:-1]] == [None] * (len(cut) - 1)
    assert reassembly.accept(cut[-1]) == data


def test_pieces_out_of_order_or_too_many_are_refused_and_nothing_is_kept() -> None:
    cut = list(pieces(pack(document(20_000))))
    for wrong in ([cut[1]], [cut[0], cut[2]], [cut[0], cut[0], cut[2]]):
        reassembly = Reassembly(200_000)
        with pytest.raises(ProtocolError):
            for piece in wrong:
                reassembly.accept(piece)
        assert reassembly.accept(cut[0]) is None
    with pytest.raises(ProtocolError):
        Reassembly(30_000).accept(cut[0])
    with pytest.raises(ProtocolError):
        Reassembly(30_000).accept(b"MMFP\x01")
