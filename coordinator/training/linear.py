"""A regularised linear classifier on many more features than images, fitted fast and mapped back to plain weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_RANK = 1280
LOGISTIC_RANK = 640  # its steps cost by the coordinate, and it gains nothing by more
_ITERATIONS = 400
Method = Literal["logistic", "tempered", "ridge"]
# From the stiffest. Logistic: scikit-learn's C. Ridge: the inverse of the penalty on squared weights for each image.
STRENGTHS: dict[Method, tuple[float, ...]] = {
    "logistic": (1e-4, 1e-3, 3e-3, 1e-2, 1e-1),
    "tempered": (1e-3, 1e-2, 1e-1),
    "ridge": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}


@dataclass(frozen=True)
class LinearHead:
    """``logits = features @ weights + bias``; standardisation is already folded in.

    Attributes:
        weights: float32 [features, labels].
        bias: float32 [labels].
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [images, labels]."""
        return np.asarray(features @ self.weights + self.bias, dtype=np.float32)


class Projection:
    """Standardised training features in their own principal axes.

    L2-regularised regression on n images never leaves the span of those images, so d = 10,000 features can be replaced
    by at most n coordinates without changing the fit; coordinates beyond ``MAX_RANK`` carry almost no variance (half as many
    cost 0.3 points on chest X-rays with their altered views). One projection serves all methods and strengths.
    """

    def __init__(self, features: NDArray[np.float32], blocks: tuple[int, ...] = ()) -> None:
        """Args:
        features: float32 [images, features].
        blocks: widths of the taps that the features consist of, where each tap shall count alike, however many
            channels it has; else each feature counts alike.
        """
        from scipy.linalg import eigh  # a third of a command's start: only for who trains

        self._mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        standard = features - self._mean
        spread = np.sqrt(np.einsum("ij,ij->j", standard, standard) / len(features))
        # A feature that hardly ever moves must not be blown up to unit variance.
        self._scale = np.maximum(spread, max(1e-3 * float(spread.max()), 1e-9)).astype(np.float32)
        if blocks:
            mean_width = features.shape[1] / len(blocks)
            self._scale *= np.repeat(np.sqrt(np.array(blocks) / mean_width), blocks).astype(np.float32)
        standard /= self._scale
        gram = standard @ standard.T if len(features) <= features.shape[1] else standard.T @ standard
        values, vectors = eigh(gram, driver="evd")  # all of them: faster than the fewer by any other driver
        values, vectors = values[-MAX_RANK:], vectors[:, -MAX_RANK:]
        keep = values > values[-1] * 1e-6
        values, vectors = values[keep].astype(np.float64), vectors[:, keep].astype(np.float64)
        if len(features) <= features.shape[1]:
            self._axes = (standard.T @ (vectors / np.sqrt(values)).astype(np.float32)).astype(np.float32)
            self.coordinates: NDArray[np.float64] = vectors * np.sqrt(values)
        else:
            self._axes = vectors.astype(np.float32)
            self.coordinates = (standard @ self._axes).astype(np.float64)

    def fit(self, labels: NDArray[np.int64], strength: float, method: Method = "logistic") -> LinearHead:
        """Fit, classes weighted to count alike; a higher ``strength`` follows the images more closely."""
        if method == "ridge":
            axes, (coefficients, intercepts) = self._axes, _ridge(self.coordinates, labels, strength)
        else:
            axes, power = self._axes[:, -LOGISTIC_RANK:], 1.0 if method == "logistic" else 0.5
            coefficients, intercepts = _logistic(self.coordinates[:, -LOGISTIC_RANK:], labels, strength, power)
        weights = (axes @ coefficients.T.astype(np.float32)) / self._scale[:, np.newaxis]
        bias = intercepts.astype(np.float32) - self._mean @ weights
        return LinearHead(weights.astype(np.float32), bias.astype(np.float32))


def _logistic(
    coordinates: NDArray[np.float64], labels: NDArray[np.int64], strength: float, power: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients [labels, coordinates] and intercepts [labels] of logistic regression.

    Classes are weighted by their count to minus ``power``; what weights leave of the imbalance is taken out of the intercepts
    (logit adjustment, Menon et al. 2021). Weighted in full, ten images of a rare class pull as hard as a thousand of another.
    """
    from sklearn.linear_model import LogisticRegression  # over a second to import: only for who trains
    from threadpoolctl import threadpool_limits

    counts = np.bincount(labels).astype(np.float64)
    weights = dict(enumerate((len(labels) / len(counts) / counts) ** power))
    model = LogisticRegression(C=strength, class_weight=weights, max_iter=_ITERATIONS, tol=1e-4)
    with threadpool_limits(1):  # threads that wait for each other make these small products ten times slower
        model.fit(coordinates, labels)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # two classes: scikit-learn keeps one row; ours has one a label
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    return coefficients, intercepts - (1 - power) * np.log(counts / counts.mean())


def _ridge(
    coordinates: NDArray[np.float64], labels: NDArray[np.int64], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same by penalised least squares on 1 for the image's label and −1 / (labels − 1) for the others, in closed form."""
    classes = int(labels.max()) + 1
    counts = np.bincount(labels, minlength=classes)
    weights = (len(labels) / classes / counts)[labels]
    targets = np.full((len(labels), classes), -1.0 / (classes - 1))
    targets[np.arange(len(labels)), labels] = 1.0
    total = weights.sum()
    centre, level = weights @ coordinates / total, weights @ targets / total
    moved = (coordinates - centre) * weights[:, np.newaxis]
    normal = moved.T @ (coordinates - centre)
    normal[np.diag_indices_from(normal)] += len(labels) / strength
    slopes = np.linalg.solve(normal, moved.T @ (targets - level))
    return slopes.T, level - centre @ slopes
