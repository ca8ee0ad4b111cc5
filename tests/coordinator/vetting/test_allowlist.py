from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.vetting import keras_file
from coordinator.vetting.allowlist import Limits
from coordinator.vetting.description import parse, read
from coordinator.vetting.examination import vetted_stage
from tests.coordinator.vetting import models
from tests.coordinator.vetting.models import OPS, Builder, options, schema


def vet(data: bytes, **labels: Any) -> bytes:
    return vetted_stage(data, parse(models.labels_file(**labels)), Limits())


def refusal(data: bytes, **labels: Any) -> CoordinatorError:
    with pytest.raises(CoordinatorError) as caught:
        vet(data, **labels)
    return caught.value


def ending(code: int, given: Any = None, custom: bytes | None = None) -> Builder:
    """A model whose last operator is of this kind."""
    builder, means = models.started()
    builder.graph.outputs = [builder.step(code, [means], (1, 3), given)]
    builder.model.operatorCodes[-1].customCode = custom
    return builder


@pytest.mark.parametrize(
    ("builder", "operator"),
    [
        (ending(OPS.CUSTOM, custom=b"Mine"), "CUSTOM Mine"),
        (ending(OPS.CUSTOM, custom=b"FlexAdd"), "CUSTOM FlexAdd"),
        (ending(OPS.RELU, custom=b"disguised"), "CUSTOM disguised"),
        (ending(OPS.WHILE, options("WhileOptions", condSubgraphIndex=0, bodySubgraphIndex=0)), "WHILE"),
        (ending(OPS.IF, options("IfOptions")), "IF"),
        (ending(OPS.CALL, options("CallOptions")), "CALL"),
        (ending(OPS.CALL_ONCE, options("CallOnceOptions")), "CALL_ONCE"),
        (ending(OPS.RANDOM_UNIFORM, options("RandomOptions")), "RANDOM_UNIFORM"),
        (ending(OPS.VAR_HANDLE, options("VarHandleOptions")), "VAR_HANDLE"),
        (ending(OPS.STABLEHLO_WHILE), "STABLEHLO_WHILE"),
        (ending(9999), "number 9999"),
    ],
)
def test_an_operator_that_is_not_on_the_list_is_named(builder: Builder, operator: str) -> None:
    error = refusal(builder.to_bytes())
    assert (error.code, error.details["operator"]) == ("vetting.operator", operator)


def test_an_absurd_tensor_is_refused_with_both_numbers() -> None:
    builder, means = models.started()
    builder.graph.outputs = [builder.step(OPS.RELU, [means], (1, 3))]
    builder.tensor((1, 100_000, 100_000, 3))
    error = refusal(builder.to_bytes())
    assert error.code == "vetting.over_limit"
    assert (error.details["found"], error.details["limit"]) == (120_000_000_000, Limits().tensor_bytes)


def test_too_many_operators_and_too_much_in_all_are_refused() -> None:
    builder, step = models.started()
    for _ in range(4000):
        step = builder.step(OPS.RELU, [step], (1, 3))
    builder.graph.outputs = [step]
    assert refusal(builder.to_bytes()).details["what"] == "operators"
    builder, step = models.started()
    for _ in range(20):
        step = builder.step(OPS.RELU, [step], (1, 15_000_000))
    builder.graph.outputs = [step]
    assert refusal(builder.to_bytes()).details["what"] == "bytes of all computed tensors"


def test_a_wrong_label_count_a_wrong_shape_and_a_missing_range_name_both_numbers() -> None:
    error = refusal(models.colours(), labels=["a", "b"])
    assert (error.code, error.details) == ("vetting.label_count", {"found": 3, "wanted": 2})
    error = refusal(models.colours(), input={"edge_px": 64})
    assert (error.code, error.details) == (
        "vetting.input_shape",
        {"found": "[1, 32, 32, 3]", "wanted": "[1, 64, 64, 3]"},
    )
    with pytest.raises(CoordinatorError) as caught:
        parse(models.labels_file(input={"range": None}))
    assert caught.value.code == "vetting.no_range"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": ["a"]}, "labels"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": ["a", {"label": "b", "kind": "odd"}]}, "labels"),
        ({"labels": ["a", "b\n"]}, "label"),
        ({"disease": "Two Words"}, "disease"),
        ({"licence": None}, "licence"),
        ({"output": "probability"}, "output"),
        ({"sha256": "abc"}, "sha256"),
        ({"extra": 1}, "extra"),
        ({"input": {"range": [0, 2]}}, "input.range"),
        ({"input": {"channels": "GRB"}}, "input.channels"),
        ({"input": {"edge_px": 16}}, "input.edge_px"),
    ],
)
def test_a_labels_file_that_does_not_fit_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(CoordinatorError) as caught:
        parse(models.labels_file(**change))
    assert (caught.value.code, caught.value.details["field"]) == ("vetting.bad_labels", field)


def test_what_is_no_plain_classifier_is_refused() -> None:
    def spoilt(change: Any) -> str:
        builder, means = models.started()
        builder.graph.outputs = [builder.step(OPS.RELU, [means], (1, 3))]
        change(builder)
        return refusal(builder.to_bytes()).code

    def twice(builder: Builder) -> None:
        builder.model.subgraphs.append(builder.graph)

    def variable(builder: Builder) -> None:
        builder.graph.tensors[-1].isVariable = True

    def two_inputs(builder: Builder) -> None:
        builder.graph.inputs.append(builder.tensor((1, 3)))

    def two_outputs(builder: Builder) -> None:
        builder.graph.outputs.append(builder.graph.outputs[0])

    def constant_output(builder: Builder) -> None:
        builder.graph.outputs = [builder.constant([[1.0, 2.0, 3.0]])]

    def outside(builder: Builder) -> None:
        builder.model.buffers[-1].offset, builder.model.buffers[-1].size = 4096, 8

    for change in (twice, variable, two_inputs, two_outputs, outside):
        assert spoilt(change) == "vetting.structure", change.__name__
    assert spoilt(constant_output) == "vetting.damaged"


def test_operators_out_of_order_writing_twice_or_reading_nothing_are_refused() -> None:
    for change in ("order", "twice", "nowhere", "constant"):
        builder, means = models.started()
        first = builder.step(OPS.RELU, [means], (1, 3))
        builder.graph.outputs = [builder.step(OPS.TANH, [first], (1, 3))]
        operators = builder.graph.operators
        if change == "order":
            operators.reverse()
        elif change == "twice":
            operators[-1].outputs = [first]
            builder.graph.outputs = [first]
        elif change == "nowhere":
            operators[-1].inputs = [99]
        else:
            operators[-1].outputs = [builder.constant([[1.0, 2.0, 3.0]])]
        assert refusal(builder.to_bytes()).code == "vetting.damaged", change


def test_options_that_would_divide_by_zero_are_refused() -> None:
    builder = Builder()
    image = builder.image()
    pool = options("Pool2DOptions", strideW=0, strideH=1, filterWidth=2, filterHeight=2)
    step = builder.step(OPS.AVERAGE_POOL_2D, [image], (1, 16, 16, 3), pool)
    builder.graph.outputs = [
        builder.step(OPS.MEAN, [step, builder.constant([1, 2], "<i4")], (1, 3), options("ReducerOptions"))
    ]
    assert refusal(builder.to_bytes()).code == "vetting.damaged"


def test_weights_that_are_no_numbers_are_refused() -> None:
    builder, means = models.started()
    builder.graph.outputs = [
        builder.step(OPS.ADD, [means, builder.constant([1.0, np.nan, 1.0])], (1, 3), options("AddOptions"))
    ]
    assert refusal(builder.to_bytes()).code == "vetting.not_finite"


def test_a_vector_that_claims_to_be_endless_costs_no_time() -> None:
    data = bytearray(models.small())
    spoilt = 0
    for at in range(8, len(data) - 4, 4):  # every place where a length could stand
        (value,) = struct.unpack_from("<I", data, at)
        if 0 < value < 200:
            struct.pack_into("<I", data, at, 0xFFFFFFF0)
            spoilt += 1
            with pytest.raises(CoordinatorError):
                vet(bytes(data), output="softmax")
            break
    assert spoilt


@pytest.mark.parametrize("size", [0, 1, 7, 8, 40, 500])
def test_a_cut_off_file_is_damaged(size: int) -> None:
    assert refusal(models.small()[:size], output="softmax").code == "vetting.damaged"


def test_buffers_that_share_their_bytes_do_not_multiply() -> None:
    builder, means = models.started()
    builder.graph.outputs = [builder.step(OPS.RELU, [means], (1, 3))]
    vector = schema.BufferT()
    vector.data = np.zeros(4096, np.uint8)
    builder.model.buffers.append(vector)
    real = builder.to_bytes()
    assert vet(real)
    shared = schema.BufferT
    original = shared.Pack
    packed: list[int] = []

    def once(self: Any, writer: Any) -> int:
        if self.data is not None and len(self.data) == 4096 and packed:
            return packed[0]
        packed_at = int(original(self, writer))
        if self.data is not None and len(self.data) == 4096:
            packed.append(packed_at)
        return packed_at

    builder.model.buffers += [vector] * 500
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "Pack", once)
        data = builder.to_bytes()
    assert len(data) < 20_000
    assert refusal(data).code == "vetting.damaged"


def test_the_same_model_is_standardised_to_the_same_bytes_without_what_was_not_read() -> None:
    builder, means = models.started()
    builder.graph.outputs = [builder.step(OPS.RELU, [means], (1, 3))]
    plain = vet(builder.to_bytes())
    builder.model.description = "Patient Li, do not publish"
    builder.graph.name = builder.graph.tensors[0].name = "Li"
    assert vet(builder.to_bytes()) == plain


def test_the_example_in_the_documentation_is_a_labels_file() -> None:
    text = (Path(__file__).parents[3] / "docs" / "model-import.md").read_text("utf-8")
    example = text.split("```json\n")[1].split("```")[0].replace('"…"', json.dumps("a" * 64))
    found = read(example.encode("utf-8"))
    assert [x.label for x in found.labels] == ["parasitized", "uninfected"]


def test_the_documented_limits_are_the_programs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "model-import.md").read_text("utf-8")
    limits = Limits()
    for phrase in (
        f"At most {limits.file_bytes >> 20} MB, {limits.operators:,} operators, {limits.tensor_bytes >> 20} MB a tensor",
        f"{limits.computed_bytes >> 30} GB of computed tensors",
        f"at most {keras_file.MAX_PARAMETERS // 10**6} million parameters",
    ):
        assert phrase in text, phrase
