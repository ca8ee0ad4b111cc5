"""A head in the standardised coordinates that all sites share: linear in features, which a body may have made of maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_FLATTEST = 1e-3  # of the largest spread: what hardly ever moves must not be blown up to unit variance


@dataclass(frozen=True)
class HeadShape:
    """What a head's arrays look like.

    Attributes:
        features, labels: of weights and bias.
        body: shape of each array before them, of one or two axes.
    """

    features: int
    labels: int
    body: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """Numbers in weights and bias, which end every flat head."""
        return (self.features + 1) * self.labels


@dataclass(frozen=True)
class Head:
    """``logits = features @ weights + bias``.

    Attributes:
        weights: float32 [features, labels].
        bias: float32 [labels].
        body: what makes features of maps, by name, float32 of one or two axes; empty where the features are the trunk's own.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    body: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def shape(self) -> HeadShape:
        """Of all arrays."""
        body = {name: value.shape for name, value in self.body.items()}
        return HeadShape(self.weights.shape[0], self.weights.shape[1], body)

    def logits(self, standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [images, labels] of standardised features, of a head without a body."""
        return np.asarray(standardised @ self.weights + self.bias, dtype=np.float32)

    def flat(self) -> NDArray[np.float64]:
        """All parameters, float64: the body in the order of its names, weights, bias."""
        return flat(self.body, self.weights, self.bias)

    def like(self, flat: NDArray[np.float64]) -> Head:
        """The head of this shape that has ``flat`` as its ``flat()``."""
        body, start = {}, 0
        for name, value in sorted(self.body.items()):
            body[name] = flat[start : start + value.size].reshape(value.shape).astype(np.float32)
            start += value.size
        end = start + self.weights.size
        weights = flat[start:end].reshape(self.weights.shape)
        return Head(weights.astype(np.float32), flat[end:].astype(np.float32), body)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Everything by name."""
        return {"weights": self.weights, "bias": self.bias, **self.body}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Head:
        """The head of ``arrays()``."""
        body = {name: value for name, value in arrays.items() if name not in ("weights", "bias")}
        return cls(arrays["weights"], arrays["bias"], body)


def flat(
    body: Mapping[str, NDArray[np.float32]] | Mapping[str, NDArray[np.float64]],
    weights: NDArray[np.float32] | NDArray[np.float64],
    bias: NDArray[np.float32] | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Arrays of a head as one, float64."""
    parts = [*(body[name].ravel() for name in sorted(body)), weights.ravel(), bias]
    return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class Standard:
    """Mean and spread of each feature over the images of the model that is refined; the same for every site and round.

    Attributes:
        mean: float32 [features].
        scale: float32 [features], positive.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Standard:
        """That of features [images, features], rounded as it travels, so that everybody computes with the same."""
        spread = features.std(axis=0)
        scale = np.maximum(spread, max(_FLATTEST * float(spread.max()), 1e-6))
        return cls(
            features.mean(axis=0).astype(np.float16).astype(np.float32), scale.astype(np.float16).astype(np.float32)
        )

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features [images, features] in shared coordinates."""
        return (features - self.mean) / self.scale

    def standardised(self, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> Head:
        """A head on plain features, in shared coordinates."""
        return Head(
            (weights * self.scale[:, np.newaxis]).astype(np.float32), (bias + self.mean @ weights).astype(np.float32)
        )

    def plain(self, head: Head) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and bias on plain features."""
        weights = (head.weights / self.scale[:, np.newaxis]).astype(np.float32)
        return weights, (head.bias - self.mean @ weights).astype(np.float32)
