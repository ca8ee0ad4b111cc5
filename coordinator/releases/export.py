"""One ordinary TFLite file out of a pipeline: its stages' own operators and weights, joined.

Nothing is converted again, so the joined file gives the very numbers that the stages give. Works on the flatbuffer
(TFLite schema version 3): tensors, buffers and operators of each stage are appended, later stages' inputs are wired to
earlier outputs, operators that only served unused outputs are dropped, and a softmax with the calibrated temperature follows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers

from protocols.manifest import ReleaseManifest
from protocols.pipeline import LOGITS

SCORES = "scores"
_FILE_IDENTIFIER = b"TFL3"


def single_file(manifest: ReleaseManifest, path_of: Callable[[str], Path]) -> bytes:
    """TFLite bytes with one input ``image`` [1, edge, edge, 3] and outputs ``logits`` and ``scores`` [1, labels]."""
    joined = _Joined()
    for stage in manifest.stages:
        joined.append(path_of(stage.sha256).read_bytes(), stage.inputs)
    joined.finish(manifest.calibration.temperature, len(manifest.labels))
    return joined.to_bytes()


class _Joined:
    """The model under construction. ``_named`` maps output names so far to tensor numbers."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._model: Any = schema.ModelT()
        self._model.version = 3
        self._model.description = "MedMesh single file. Research use only."
        self._model.operatorCodes, self._model.buffers = [], [schema.BufferT()]
        self._graph: Any = schema.SubGraphT()
        self._graph.tensors, self._graph.operators, self._graph.inputs, self._graph.outputs = [], [], [], []
        self._named: dict[str, int] = {}

    def append(self, data: bytes, inputs: tuple[str, ...]) -> None:
        """Add a stage; ``inputs`` name earlier outputs, none: the stage reads the image."""
        stage = self._schema.ModelT.InitFromPackedBuf(data, 0)
        graph, signature = stage.subgraphs[0], stage.signatureDefs[0]
        code_offset, buffer_offset = len(self._model.operatorCodes), len(self._model.buffers)
        self._model.operatorCodes.extend(stage.operatorCodes)
        self._model.buffers.extend(stage.buffers)
        wired = {i.tensorIndex: self._named[_text(i.name)] for i in signature.inputs} if inputs else {}
        number: dict[int, int] = {-1: -1}
        for old, tensor in enumerate(graph.tensors):
            if old in wired:
                number[old] = wired[old]
                continue
            tensor.buffer += buffer_offset
            number[old] = len(self._graph.tensors)
            self._graph.tensors.append(tensor)
        for operator in graph.operators:
            operator.opcodeIndex += code_offset
            operator.inputs = [number[i] for i in operator.inputs]
            operator.outputs = [number[i] for i in operator.outputs]
            operator.intermediates = None
            self._graph.operators.append(operator)
        if not inputs:
            self._graph.inputs = [number[i] for i in graph.inputs]
        self._named |= {_text(o.name): number[o.tensorIndex] for o in signature.outputs}

    def finish(self, temperature: float, labels: int) -> None:
        """Add the softmax, drop what serves nothing, name inputs and outputs."""
        schema = self._schema
        logits = self._named[LOGITS]
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer, tensor.name = [1, labels], schema.TensorType.FLOAT32, 0, SCORES
        self._graph.tensors.append(tensor)
        scores = len(self._graph.tensors) - 1

        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SOFTMAX
        code.version = 1
        self._model.operatorCodes.append(code)
        softmax = schema.OperatorT()
        softmax.opcodeIndex, softmax.inputs, softmax.outputs = len(self._model.operatorCodes) - 1, [logits], [scores]
        softmax.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        softmax.builtinOptions = schema.SoftmaxOptionsT()
        softmax.builtinOptions.beta = 1 / temperature
        self._graph.operators.append(softmax)

        self._graph.outputs = [logits, scores]
        needed = set(self._graph.outputs)
        kept = []
        for operator in reversed(self._graph.operators):  # stored in the order of execution
            if needed & set(operator.outputs):
                needed |= set(operator.inputs)
                kept.append(operator)
        self._graph.operators = kept[::-1]
        self._name(logits, scores)
        self._model.subgraphs = [self._graph]

    def _name(self, logits: int, scores: int) -> None:
        schema = self._schema
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs = [self._entry("image", self._graph.inputs[0])]
        signature.outputs = [self._entry(LOGITS, logits), self._entry(SCORES, scores)]
        self._model.signatureDefs = [signature]

    def _entry(self, name: str, tensor: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry

    def to_bytes(self) -> bytes:
        """Serialise."""
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
        return bytes(builder.Output())


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
