"""A linear head in the standardised coordinates that all sites share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FLATTEST = 1e-3  # of the largest spread: what hardly ever moves must not be blown up to unit variance


@dataclass(frozen=True)
class Head:
    """``logits = standardised features @ weights + bias``.

    Attributes:
        weights: float32 [features, labels].
        bias: float32 [labels].
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [images, labels] of standardised features."""
        return np.asarray(standardised @ self.weights + self.bias, dtype=np.float32)

    def flat(self) -> NDArray[np.float64]:
        """All parameters, float64 [(features + 1) * labels]."""
        return np.concatenate([self.weights.ravel(), self.bias]).astype(np.float64)

    @classmethod
    def of_flat(cls, flat: NDArray[np.float64], labels: int) -> Head:
        """The head of ``flat()``."""
        weights = flat[:-labels].reshape(-1, labels)
        return cls(weights.astype(np.float32), flat[-labels:].astype(np.float32))


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
