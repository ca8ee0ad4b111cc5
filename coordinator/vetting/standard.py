"""A vetted network written anew as a stage: input ``image`` (RGB, float32), output ``logits``, and nothing that was not read.

Whatever else the file held (metadata, signatures, padding, odd offsets) never reaches LiteRT. Pure.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from coordinator.vetting.description import Description
from coordinator.vetting.network import FLOAT32, IDENTIFIER, INT32, UINT8, Network, Operator, Tensor
from coordinator.vetting.operators import ALLOWED
from protocols.pipeline import LOGITS

IMAGE = "image"
LEAST_SCORE = 1e-7  # a softmax rounded to 0 has no logarithm
_ALIGNMENT = 16


def standardised(network: Network, wanted: Description) -> bytes:
    """The ``.tflite`` that nodes run."""
    stage = _Stage(network)
    stage.take_image(wanted)
    stage.give_logits(wanted)
    return stage.to_bytes()


class _Stage:
    def __init__(self, network: Network) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._tensors = list(network.tensors)
        self._operators = list(network.operators)
        (self._input,) = network.inputs
        (self._output,) = network.outputs

    def take_image(self, wanted: Description) -> None:
        """Turn RGB float32 into what the network wants."""
        target, before = self._input, []
        shape = self._tensors[target].shape
        options = self._schema
        if self._tensors[target].type == UINT8:
            cast = options.CastOptionsT()
            cast.inDataType, cast.outDataType = FLOAT32, UINT8
            target = self._add(shape)
            before.append(Operator("CAST", 1, (target,), (self._input,), cast))
        if wanted.channels == "BGR":
            gather = options.GatherOptionsT()
            gather.axis, gather.batchDims = 3, 0
            order, swapped = self._constant([2, 1, 0], "<i4", INT32), target
            target = self._add(shape)
            before.insert(0, Operator("GATHER", 1, (target, order), (swapped,), gather))
        self._operators[:0] = before
        self._input = target

    def give_logits(self, wanted: Description) -> None:
        """Turn what the network gives into logits, whose softmax is the score."""
        given = self._tensors[self._output]
        if given.type != FLOAT32:
            version = 1 if given.type == UINT8 else 2
            self._then("DEQUANTIZE", given.shape, version=version, options=self._schema.DequantizeOptionsT())
        if wanted.output == "logits":
            return
        one_number = given.shape[1] == 1
        self._then("MAXIMUM", given.shape, self._constant([LEAST_SCORE], "<f4", FLOAT32))
        if one_number:
            self._then("MINIMUM", given.shape, self._constant([1 - LEAST_SCORE], "<f4", FLOAT32))
            positive, one = self._output, self._constant([1.0], "<f4", FLOAT32)
            negative = self._add(given.shape)
            self._operators.append(Operator("SUB", 1, (one, positive), (negative,), self._schema.SubOptionsT()))
            both, joined = self._add((1, 2)), self._schema.ConcatenationOptionsT()
            joined.axis = 1
            self._operators.append(Operator("CONCATENATION", 1, (negative, positive), (both,), joined))
            self._output = both
        self._then("LOG", self._tensors[self._output].shape)

    def _then(self, name: str, shape: tuple[int, ...], *more: int, version: int = 1, options: Any = None) -> None:
        after = self._add(shape)
        self._operators.append(Operator(name, version, (self._output, *more), (after,), options))
        self._output = after

    def _add(self, shape: tuple[int, ...]) -> int:
        self._tensors.append(Tensor(shape, FLOAT32, None, None))
        return len(self._tensors) - 1

    def _constant(self, values: list[float], dtype: str, kind: int) -> int:
        data = np.array(values, dtype).view("u1")
        self._tensors.append(Tensor((len(values),), kind, data, None))
        return len(self._tensors) - 1

    # --- writing -------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Serialise; the same network always gives the same bytes."""
        schema = self._schema
        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version, model.description = 3, "MedMesh stage, brought ready-trained. Research use only."
        model.buffers, model.operatorCodes = [_Bytes(None)], []
        graph.tensors = [self._tensor(i, t, model.buffers) for i, t in enumerate(self._tensors)]
        numbers: dict[tuple[str, int], int] = {}
        graph.operators = [self._operator(o, numbers) for o in self._operators]
        for (name, version), _ in sorted(numbers.items(), key=lambda item: item[1]):
            code = schema.OperatorCodeT()
            number = self._number(name)
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
            model.operatorCodes.append(code)
        graph.inputs, graph.outputs, graph.name = [self._input], [self._output], "main"
        model.subgraphs = [graph]
        model.signatureDefs = [self._signature()]
        constants = sum(t.size_bytes + _ALIGNMENT for t in self._tensors if t.data is not None)
        builder = flatbuffers.Builder(constants + (1 << 16))  # at once: growing would double what large weights take
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(memoryview(builder.Bytes)[builder.Head() :])

    def _number(self, name: str) -> int:
        return ALLOWED[name][0] if name in ALLOWED else int(getattr(self._schema.BuiltinOperator, name))

    def _tensor(self, index: int, tensor: Tensor, buffers: list[Any]) -> Any:
        written = self._schema.TensorT()
        written.shape, written.type, written.name = list(tensor.shape), tensor.type, self._name(index)
        written.hasRank, written.buffer = True, 0
        if tensor.data is not None:
            written.buffer = len(buffers)
            buffers.append(_Bytes(tensor.data))
        if tensor.quantisation is not None:
            written.quantization = self._schema.QuantizationParametersT()
            written.quantization.scale = tensor.quantisation.scale
            written.quantization.zeroPoint = tensor.quantisation.zero_point
            written.quantization.quantizedDimension = tensor.quantisation.axis
        return written

    def _name(self, index: int) -> str:
        return {self._input: IMAGE, self._output: LOGITS}.get(index, f"t{index}")

    def _operator(self, operator: Operator, numbers: dict[tuple[str, int], int]) -> Any:
        written = self._schema.OperatorT()
        written.opcodeIndex = numbers.setdefault((operator.name, operator.version), len(numbers))
        written.inputs, written.outputs = list(operator.inputs), list(operator.outputs)
        if operator.options is not None:
            kind = type(operator.options).__name__.removesuffix("T")
            written.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
            written.builtinOptions = operator.options
        return written

    def _signature(self) -> Any:
        signature = self._schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = [self._entry(IMAGE, self._input)], [self._entry(LOGITS, self._output)]
        return signature

    def _entry(self, name: str, tensor: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry


class _Bytes:
    """A buffer of the schema that keeps the alignment which the schema asks for and its Python writer forgets."""

    def __init__(self, data: np.ndarray[Any, Any] | None) -> None:
        self._data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that the schema's writer calls
        schema_slots = 3
        vector = None
        if self._data is not None:
            content = self._data.data
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        builder.StartObject(schema_slots)
        if vector is not None:
            builder.PrependUOffsetTRelativeSlot(0, vector, 0)
        return int(builder.EndObject())
