from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.errors import CoordinatorError
from coordinator.uploads import declaration
from coordinator.uploads.declaration import MOST_PART_BYTES, part_size, read, subject
from coordinator.uploads.store import ranges
from tests.support import uploads

GOOD = uploads.declaration(b"x" * 100_000)
MODEL = {"kind": "model", "model": {"format": "tflite", "description": {"labels": ["a", "b"]}}}


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def dataset(**fields: Any) -> dict[str, Any]:
    return changed(dataset={**GOOD["dataset"], **fields})


def without_dataset(**fields: Any) -> dict[str, Any]:
    return {**{k: v for k, v in GOOD.items() if k != "dataset"}, "kind": "model", **fields}


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else "x"


def test_a_declaration_is_read_with_its_defaults() -> None:
    declared = read(GOOD)
    assert (declared.parts, subject(declared.kind, declared.options), declared.groups_csv) == (2, "malaria", None)
    assert declared.options["min_edge_px"] >= 1 and declared.options["train"] is None
    model = read({**{k: v for k, v in GOOD.items() if k != "dataset"}, **MODEL})
    assert model.options["format"] == "tflite" and subject("model", model.options) == "model"
    assert subject("model", {"description": {"model": "net", "disease": "malaria"}}) == "model net"
    assert subject("model", {"description": {"disease": "malaria"}}) == "model malaria"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        changed(kind="other"),
        changed(kind=["dataset"]),
        changed(size=0),
        changed(size=-1),
        changed(size=True),
        changed(size=1.0),
        changed(size=1 << 41),
        changed(sha256="AB" * 32),
        changed(sha256=7),
        changed(part_bytes=1),
        changed(part_bytes=MOST_PART_BYTES + 1),
        changed(size=1 << 40),
        changed(extra=1),
        changed(dataset=None),
        changed(model={"format": "tflite", "description": {}}),
        dataset(name="Über"),
        dataset(name="../x"),
        dataset(name="x\n"),
        dataset(disease=None),
        dataset(merge_classes=1),
        dataset(min_edge_px=0),
        dataset(groups_csv="not base64!"),
        dataset(groups_csv=["a"]),
        dataset(train="heroic"),
        dataset(train=True),
        dataset(path="/etc/passwd"),
        without_dataset(model={"format": "exe", "description": {}}),
        without_dataset(model={"format": "h5", "description": ["a"]}),
        without_dataset(model={"format": "h5", "description": {"a": "x" * declaration.MOST_LABELS_BYTES}}),
        without_dataset(model={"format": "h5", "description": {"a": nested(20)}}),
    ],
    ids=lambda b: str(b)[-60:],
)
def test_a_declaration_with_anything_odd_is_refused(body: object) -> None:
    with pytest.raises(CoordinatorError, match=r"upload\.malformed"):
        read(body)


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["kind", "size", "sha256", "part_bytes", "dataset", "model", "format", "name"]), x)))  # fmt: skip
def test_no_declaration_breaks_the_reader(body: object) -> None:
    with pytest.raises(CoordinatorError):
        read(body)


def test_equal_declarations_are_one_and_any_difference_is_another() -> None:
    csv = base64.b64encode(b"file,group\n").decode()
    others = [changed(size=100_001), dataset(name="other"), dataset(first_frame=True), dataset(groups_csv=csv)]
    digests = {read(body).digest for body in (GOOD, *others)}
    assert len(digests) == 5 and read(dict(reversed(GOOD.items()))).digest in digests


@given(st.integers(1, 10**9), st.integers(declaration.LEAST_PART_BYTES, MOST_PART_BYTES))
def test_parts_are_the_whole(size: int, part_bytes: int) -> None:
    count = -(-size // part_bytes)
    sizes = [part_size(size, part_bytes, n) for n in range(count)]
    assert sum(sizes) == size and min(sizes) >= 1 and max(sizes) <= part_bytes


@given(st.sets(st.integers(0, 60)))
def test_ranges_say_which_numbers(numbers: set[int]) -> None:
    found = ranges(sorted(numbers))
    assert [n for first, last in found for n in range(first, last + 1)] == sorted(numbers)
    assert all(b[0] - a[1] > 1 for a, b in pairwise(found))
