"""What stands in a ``.tflite`` file, read without trust and without LiteRT. Pure.

Only what a model needs to run is read; names, metadata and signatures are left behind, since the file is written anew.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.vetting.flat import Table, damaged
from coordinator.vetting.operators import ALLOWED, NAMES

IDENTIFIER = b"TFL3"
MAX_TENSORS, MAX_OPERATORS, MAX_BUFFERS, MAX_RANK, MAX_OPERANDS = 20_000, 10_000, 20_000, 6, 256
# TensorType in the schema -> NumPy; strings, resources, variants, complex and packed types are not here.
DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1"}
FLOAT32, INT32, UINT8, INT64, INT8 = 0, 2, 3, 4, 9
_CUSTOM, _PLACEHOLDER = 32, 127
_FOREIGN = ((9, "Q"), (10, "Q"), (11, "B"))  # custom options far away, their size, options of a second kind
_VECTORS = {"ReshapeOptions": 0, "SqueezeOptions": 0}  # the options that hold a vector -> its slot


@dataclass(frozen=True)
class Quantisation:
    """real = scale · (stored - zero_point), for the whole tensor or along ``axis``."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True)
class Tensor:
    """One tensor. ``data`` holds a constant's bytes; None: computed or fed."""

    shape: tuple[int, ...]
    type: int
    data: NDArray[np.uint8] | None
    quantisation: Quantisation | None

    @property
    def size_bytes(self) -> int:
        """Bytes that its shape takes."""
        count = 1
        for side in self.shape:
            count *= side
        return count * np.dtype(DTYPES[self.type]).itemsize

    @property
    def values(self) -> NDArray[Any]:
        """A constant's numbers, flat."""
        assert self.data is not None
        return self.data.view(DTYPES[self.type])


@dataclass(frozen=True)
class Operator:
    """One step. ``options`` is an object of the schema, ``inputs`` may hold -1 for one that is left out."""

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True)
class Network:
    """The one graph of a file; operators in the order of execution."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(data: bytes) -> Network:
    """Read a file.

    Raises:
        CoordinatorError: ``vetting.damaged``, ``vetting.over_limit``, ``vetting.operator`` or ``vetting.structure``.
    """
    model = Table.root(data, IDENTIFIER, "model")
    if (version := model.scalar(0, "I")) != 3:
        raise CoordinatorError("vetting.structure", what=f"schema version {version} instead of 3")
    graphs = model.tables(2, "subgraph", 64)
    if len(graphs) != 1:
        raise CoordinatorError("vetting.structure", what=f"{len(graphs)} subgraphs instead of 1")
    codes = [_code(table) for table in model.tables(1, "operator code", MAX_OPERATORS)]
    buffers = _buffers(model, len(data))
    graph = graphs[0]
    network = Network(
        tensors=tuple(_tensor(t, buffers) for t in graph.tables(0, "tensor", MAX_TENSORS)),
        operators=tuple(_operator(t, codes) for t in graph.tables(3, "operator", MAX_OPERATORS)),
        inputs=_indices(graph, 1),
        outputs=_indices(graph, 2),
    )
    _check_flow(network)
    return network


def _code(table: Table) -> tuple[int, int]:
    """Number and version of an operator that is on the list.

    Raises:
        CoordinatorError: ``vetting.operator``, for one that is used nowhere too.
    """
    old, new = table.scalar(0, "b"), table.scalar(3, "i")
    number = max(old, new) if old != _PLACEHOLDER else new
    if number == _CUSTOM or table.has(1):
        raise CoordinatorError("vetting.operator", operator=_custom_name(table))
    if number not in NAMES:
        raise CoordinatorError("vetting.operator", operator=_name(number))
    version = table.scalar(2, "i", 1)
    if not 1 <= version <= 64:
        raise damaged("operator code")
    return number, version


def _custom_name(table: Table) -> str:
    text = bytes(table.vector(1, "u1", 200)).decode("ascii", "replace")
    return "CUSTOM " + "".join(c for c in text if c.isalnum() or c in "_-.")[:60]


def _name(number: int) -> str:
    from ai_edge_litert import schema_py_generated as schema

    known = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    return str(known.get(number, f"number {number}"))


def _buffers(model: Table, size_bytes: int) -> list[NDArray[np.uint8]]:
    """The constants' bytes. Several entries may point to the same bytes: together they may not exceed the file."""
    if model.has(8) or model.has(9):
        raise CoordinatorError("vetting.structure", what="weights in other files")
    found: list[NDArray[np.uint8]] = []
    total = 0
    for table in model.tables(4, "buffer", MAX_BUFFERS):
        if table.scalar(1, "Q") > 1 or table.scalar(2, "Q") > 1:
            raise CoordinatorError("vetting.structure", what="weights outside the flatbuffer")
        found.append(table.vector(0, "u1", size_bytes))
        total += len(found[-1])
        if total > size_bytes:
            raise damaged("buffers")
    return found


def _indices(table: Table, slot: int) -> tuple[int, ...]:
    return tuple(table.vector(slot, "<i4", MAX_OPERANDS).tolist())


def _tensor(table: Table, buffers: list[NDArray[np.uint8]]) -> Tensor:
    kind, number = table.scalar(1, "b"), table.scalar(2, "I")
    if kind not in DTYPES:
        raise CoordinatorError("vetting.structure", what=f"a tensor of type {kind}")
    if table.scalar(5, "?") or table.has(6) or table.has(9) or table.has(10):
        raise CoordinatorError("vetting.structure", what="a variable, sparse or variant tensor")
    shape = tuple(table.vector(0, "<i4", MAX_RANK).tolist())
    if number >= len(buffers) or any(side < 0 for side in shape):
        raise damaged("tensor")
    data = buffers[number] if len(buffers[number]) or 0 in shape else None
    tensor = Tensor(shape, kind, data, _quantisation(table, shape))
    if data is not None and len(data) != tensor.size_bytes:
        raise damaged("constant")
    return tensor


def _quantisation(table: Table, shape: tuple[int, ...]) -> Quantisation | None:
    found = table.table(4, "quantisation")
    if found is None:
        return None
    if found.scalar(4, "B"):
        raise CoordinatorError("vetting.structure", what="a quantisation of its own kind")
    most = max(shape, default=1) or 1
    scale, zero_point = found.vector(2, "<f4", most), found.vector(3, "<i8", most)
    if not len(scale):
        return None
    axis = found.scalar(6, "i")
    wanted = {1} if not 0 <= axis < len(shape) else {1, shape[axis]}
    sound = np.isfinite(scale).all() and (scale > 0).all() and (np.abs(zero_point) <= 1 << 15).all()
    if not sound or len(scale) not in wanted or len(zero_point) != len(scale):
        raise damaged("quantisation")
    return Quantisation(scale, zero_point, axis if len(scale) > 1 else 0)


def _operator(table: Table, codes: list[tuple[int, int]]) -> Operator:
    index = table.scalar(0, "I")
    if index >= len(codes):
        raise damaged("operator")
    if table.has(5) or table.vector(7, "u1", MAX_OPERANDS).any():
        raise CoordinatorError("vetting.structure", what="an operator with state or code of its own")
    if table.vector(8, "<i4", MAX_OPERANDS).size or any(table.scalar(slot, form) for slot, form in _FOREIGN):
        raise CoordinatorError("vetting.structure", what="an operator with intermediate tensors or foreign options")
    number, version = codes[index]
    name = NAMES[number]
    return Operator(name, version, _indices(table, 1), _indices(table, 2), _options(table, name))


def _options(table: Table, name: str) -> Any:
    """The options as an object of the schema, whose reader is safe once the table's bounds are checked."""
    from ai_edge_litert import schema_py_generated as schema

    kind, wanted = table.scalar(3, "B"), ALLOWED[name][1]
    found = table.table(4, f"options of {name}")
    if kind == 0 or found is None:
        return None
    if wanted is None or kind != getattr(schema.BuiltinOptions, wanted):
        raise damaged(f"options of {name}")
    if wanted in _VECTORS:
        found.vector(_VECTORS[wanted], "<i4", MAX_RANK)
    reader = getattr(schema, wanted)()
    reader.Init(found.data.obj, found.position)
    try:
        return getattr(schema, wanted + "T").InitFromObj(reader)
    except (ValueError, TypeError, IndexError, ArithmeticError, struct.error) as error:  # a field beyond the end
        raise damaged(f"options of {name}") from error


def _check_flow(network: Network) -> None:
    """Every tensor is written once, before it is read; constants are never written."""
    written = [tensor.data is not None for tensor in network.tensors]
    count = len(written)

    def write(index: int) -> None:
        if not 0 <= index < count or written[index]:
            raise damaged("order of operators")
        written[index] = True

    for index in network.inputs:
        write(index)
    for operator in network.operators:
        if not operator.outputs or not operator.inputs:
            raise damaged("operator")
        for index in operator.inputs:
            if index != -1 and not (0 <= index < count and written[index]):
                raise damaged("order of operators")
        for index in operator.outputs:
            write(index)
    for index in network.outputs:
        if not (0 <= index < count and written[index]) or network.tensors[index].data is not None:
            raise damaged("outputs")
