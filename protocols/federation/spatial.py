"""A spatial head as it is refined: what its members' answers have in common as weights and bias, the rest as a body."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from protocols.federation.head import Head
from protocols.spatial.shape import SpatialShape

Arrays = Mapping[str, NDArray[np.float32]]


def body_shapes(shape: SpatialShape, channels: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the body as it travels: biases on one axis, everything else as rows, so that a column has one scale."""
    return {name: _flat(name, stacked) for name, stacked in shape.body(channels).items()}


def head_of(shape: SpatialShape, weights: Arrays) -> Head:
    """The head of weights stacked over the members, standardisation not folded in. Its features are those of all members."""
    labels = weights["answer"].shape[2]
    answer = weights["answer"].reshape(-1, labels) / np.float32(shape.members)
    body = {n: v.reshape(_flat(n, v.shape)) for n, v in weights.items() if n not in ("answer", "answer_bias")}
    return Head(answer, weights["answer_bias"].mean(axis=0), body)


def weights_of(shape: SpatialShape, head: Head) -> dict[str, NDArray[np.float32]]:
    """Stacked weights that answer as ``head`` does in the mean of the members."""
    channels = len(head.body[f"{shape.maps[0]}/reduce"]) // shape.members
    weights = {name: head.body[name].reshape(stacked) for name, stacked in shape.body(channels).items()}
    weights["answer"] = head.weights.reshape(shape.members, shape.features, -1) * np.float32(shape.members)
    weights["answer_bias"] = np.tile(head.bias, (shape.members, 1))
    return weights


def _flat(name: str, stacked: tuple[int, ...]) -> tuple[int, ...]:
    size = int(np.prod(stacked))
    return (size,) if name.endswith(("bias", "attention")) else (size // stacked[-1], stacked[-1])
