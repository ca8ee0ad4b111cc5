"""Seeded damage to a model file: a number names a mutation for ever."""

from __future__ import annotations

import random
from typing import Any

import flatbuffers

from tests.coordinator.vetting.models import schema

KINDS = ("bits", "run", "cut", "offset", "splice", "shape", "code", "wiring", "option", "weights")


def mutated(data: bytes, seed: int) -> bytes:
    """The file with one kind of damage; the kind is ``seed`` modulo their number."""
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    if kind in ("shape", "code", "wiring", "option", "weights"):
        return _structural(data, kind, chance)
    damaged = bytearray(data)
    if kind == "bits":
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    elif kind == "run":
        at = chance.randrange(len(damaged))
        length = min(chance.randint(1, 64), len(damaged) - at)
        damaged[at : at + length] = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length)])
    elif kind == "cut":
        del damaged[chance.randrange(len(damaged)) :]
    elif kind == "offset":
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(damaged) // 4) * 4
            value = chance.choice([0, 1, 4, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, len(damaged), chance.getrandbits(16)])
            damaged[at : at + 4] = value.to_bytes(4, "little")
    else:
        source, target, length = (chance.randrange(len(damaged)) for _ in range(3))
        piece = damaged[source : source + length % 256]
        damaged[target : target + len(piece)] = piece
    return bytes(damaged)


def _structural(data: bytes, kind: str, chance: random.Random) -> bytes:
    """A sound flatbuffer that says something else."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    for _ in range(chance.randint(1, 2)):
        if kind == "shape":
            shape = list(chance.choice(graph.tensors).shape)
            tensor = chance.choice(graph.tensors)
            if len(tensor.shape):
                tensor.shape = list(tensor.shape)
                side = chance.randrange(len(tensor.shape))
                tensor.shape[side] = chance.choice([0, -1, 1, 2, 7, 300, 1 << 20, *shape])
        elif kind == "code":
            code = chance.choice(model.operatorCodes)
            code.builtinCode = chance.choice([0, 3, 4, 9, 14, 18, 19, 22, 25, 34, 36, 40, 45, 83, 94, 114, 126])
            code.deprecatedBuiltinCode = code.builtinCode
        elif kind == "wiring":
            operator = chance.choice(graph.operators)
            wires = chance.choice(["inputs", "outputs"])
            changed = list(getattr(operator, wires))
            changed[chance.randrange(len(changed))] = chance.randrange(-1, len(graph.tensors))
            setattr(operator, wires, changed)
        elif kind == "option":
            _spoil_option(chance.choice(graph.operators), chance)
        else:
            held = [b for b in model.buffers if b.data is not None and len(b.data)]
            buffer = chance.choice(held)
            content = bytearray(bytes(buffer.data))
            for _ in range(4):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            buffer.data = content
    writer = flatbuffers.Builder(1024)
    writer.Finish(model.Pack(writer), file_identifier=b"TFL3")
    return bytes(writer.Output())


def _spoil_option(operator: Any, chance: random.Random) -> None:
    if operator.builtinOptions is None:
        return
    numbers = [k for k, v in vars(operator.builtinOptions).items() if isinstance(v, int) and not isinstance(v, bool)]
    if numbers:
        setattr(operator.builtinOptions, chance.choice(numbers), chance.choice([0, 1, 2, 3, 5, 100]))
