"""Tiny TFLite files put together by hand with the schema, and what comes with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

EDGE_PX, LABELS = 32, 3
FLOAT32, INT32, UINT8 = schema.TensorType.FLOAT32, schema.TensorType.INT32, schema.TensorType.UINT8
OPS = schema.BuiltinOperator


def labels_file(**changes: Any) -> dict[str, Any]:
    """A labels file that fits ``colours()``; None removes a key, ``input`` is merged."""
    document = {
        "disease": "malaria",
        "model": "brought",
        "name": "Colours of cells",
        "licence": "CC0-1.0",
        "source": "drawn for a test",
        "labels": [{"label": "red", "entry": "malaria"}, "green", {"label": "blue", "kind": "normal"}],
        "input": {"edge_px": EDGE_PX, "range": [0, 1], "channels": "RGB"},
        "output": "logits",
    }
    for key, value in changes.items():
        document[key] = document[key] | value if isinstance(value, dict) else value
    return {k: v for k, v in document.items() if v is not None}


def options(name: str, **values: Any) -> Any:
    found = getattr(schema, f"{name}T")()
    for key, value in values.items():
        assert hasattr(found, key)
        setattr(found, key, value)
    return found


@dataclass
class Builder:
    """A model under construction, as an object that tests can spoil before it is written."""

    model: Any = field(default_factory=schema.ModelT)

    def __post_init__(self) -> None:
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.subgraphs = [graph]

    @property
    def graph(self) -> Any:
        return self.model.subgraphs[0]

    def tensor(self, shape: tuple[int, ...], kind: int = FLOAT32, data: np.ndarray[Any, Any] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer, tensor.name = list(shape), kind, 0, f"t{len(self.graph.tensors)}"
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: Any, dtype: str = "<f4") -> int:
        data = np.array(values, dtype)
        return self.tensor(data.shape, INT32 if dtype == "<i4" else FLOAT32, data)

    def step(self, code: int, inputs: list[int], shape: tuple[int, ...], given: Any = None, kind: int = FLOAT32) -> int:
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode, operator_code.deprecatedBuiltinCode, operator_code.version = code, min(code, 127), 1
        self.model.operatorCodes.append(operator_code)
        operator, output = schema.OperatorT(), self.tensor(shape, kind)
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        if given is not None:
            operator.builtinOptions = given
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(given).__name__[:-1])
        self.graph.operators.append(operator)
        return output

    def image(self, edge_px: int = EDGE_PX, kind: int = FLOAT32) -> int:
        tensor = self.tensor((1, edge_px, edge_px, 3), kind)
        self.graph.inputs = [tensor]
        return tensor

    def to_bytes(self) -> bytes:
        writer = flatbuffers.Builder(1024)
        writer.Finish(self.model.Pack(writer), file_identifier=b"TFL3")
        return bytes(writer.Output())


def started(edge_px: int = EDGE_PX, kind: int = FLOAT32) -> tuple[Builder, int]:
    """A model whose last tensor so far is the mean of each colour channel [1, 3]."""
    builder = Builder()
    image = builder.image(edge_px, kind)
    if kind == UINT8:
        image = builder.step(
            OPS.CAST, [image], (1, edge_px, edge_px, 3), options("CastOptions", inDataType=UINT8, outDataType=FLOAT32)
        )
    means = builder.step(OPS.MEAN, [image, builder.constant([1, 2], "<i4")], (1, 3), options("ReducerOptions"))
    return builder, means


def colours(last: int | None = None, edge_px: int = EDGE_PX, kind: int = FLOAT32, gain: float = 4.0) -> bytes:
    """Four times the mean of each colour channel; ``last``: an operator that follows (SOFTMAX, LOGISTIC)."""
    builder, means = started(edge_px, kind)
    output = builder.step(OPS.MUL, [means, builder.constant([gain])], (1, 3), options("MulOptions"))
    if last is not None:
        output = builder.step(
            last, [output], (1, 3), options("SoftmaxOptions", beta=1.0) if last == OPS.SOFTMAX else None
        )
    builder.graph.outputs = [output]
    return builder.to_bytes()


def small(seed: int = 0) -> bytes:
    """A small real network: convolution, pool, dense, softmax."""
    random = np.random.default_rng(seed)
    builder = Builder()
    image = builder.image()
    conv = options(
        "Conv2DOptions",
        strideW=2,
        strideH=2,
        dilationWFactor=1,
        dilationHFactor=1,
        padding=0,
        fusedActivationFunction=1,
    )
    weights, bias = builder.constant(random.normal(size=(8, 3, 3, 3))), builder.constant(random.normal(size=8))
    step = builder.step(OPS.CONV_2D, [image, weights, bias], (1, 16, 16, 8), conv)
    pool = options("Pool2DOptions", strideW=2, strideH=2, filterWidth=2, filterHeight=2, padding=1)
    step = builder.step(OPS.MAX_POOL_2D, [step], (1, 8, 8, 8), pool)
    step = builder.step(OPS.MEAN, [step, builder.constant([1, 2], "<i4")], (1, 8), options("ReducerOptions"))
    dense = [step, builder.constant(random.normal(size=(LABELS, 8))), builder.constant(random.normal(size=LABELS))]
    step = builder.step(OPS.FULLY_CONNECTED, dense, (1, LABELS), options("FullyConnectedOptions"))
    builder.graph.outputs = [builder.step(OPS.SOFTMAX, [step], (1, LABELS), options("SoftmaxOptions", beta=1.0))]
    return builder.to_bytes()


def greedy(gigabytes: int = 6) -> bytes:
    """Declares little and fills gigabytes: an enlarged picture of whose size the file says nothing true."""
    builder = Builder()
    image = builder.image()
    side = int((gigabytes * (1 << 30) / 12) ** 0.5)
    size = builder.constant([side, side], "<i4")
    big = builder.step(
        OPS.RESIZE_NEAREST_NEIGHBOR, [image, size], (1, 64, 64, 3), options("ResizeNearestNeighborOptions")
    )
    builder.graph.outputs = [
        builder.step(OPS.MEAN, [big, builder.constant([1, 2], "<i4")], (1, 3), options("ReducerOptions"))
    ]
    return builder.to_bytes()


def endless() -> bytes:
    """Within all bounds of size, and hours of work: one large convolution after another."""
    builder = Builder()
    conv = options("Conv2DOptions", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1, padding=0)
    edge = 256
    step, depth = builder.image(edge), 3
    for following in [64] * 12:
        weights = builder.constant(np.zeros((following, 15, 15, depth)))
        inputs = [step, weights, builder.constant(np.zeros(following))]
        step, depth = builder.step(OPS.CONV_2D, inputs, (1, edge, edge, following), conv), following
    mean = builder.step(OPS.MEAN, [step, builder.constant([1, 2], "<i4")], (1, depth), options("ReducerOptions"))
    weights = builder.constant(np.zeros((3, depth)))
    builder.graph.outputs = [
        builder.step(OPS.FULLY_CONNECTED, [mean, weights, -1], (1, 3), options("FullyConnectedOptions"))
    ]
    return builder.to_bytes()
