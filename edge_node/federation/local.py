"""Fitting a head to one site's images, held near the shared head. A linear one: plain arithmetic; needs SciPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocols.federation.head import Head, Standard

_ITERATIONS = 60
_LEAST_SHARE, _MOST_SHARE = 0.25, 4.0  # of the mean site: neither does a small site vanish nor a big one decide alone


class Maps(Protocol):
    """Images as the trunk's maps, for a head with a body; what is fitted to them runs elsewhere (``spatial``)."""

    def __len__(self) -> int:
        """How many images."""
        ...

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Maps:
        """Some of them."""
        ...

    def suits(self, head: Head, standard: Standard) -> bool:
        """Whether a head reads such maps."""
        ...

    def fit(
        self, labels: NDArray[np.int64], uses: NDArray[np.bool_], shared: Head, standard: Standard, task: Task
    ) -> Head:
        """As ``fit`` below."""
        ...

    def logits(self, head: Head, standard: Standard) -> NDArray[np.float32]:
        """Logits [images, labels]."""
        ...


@dataclass(frozen=True)
class SiteData:
    """A site's labelled images as features.

    Attributes:
        features: float32 [images, features], as the trunk gave them; or its maps.
        labels: int64 [images], indices of the shared labels.
        uses: bool [labels], the labels that this site tells apart; the loss compares these alone.
    """

    features: NDArray[np.float32] | Maps
    labels: NDArray[np.int64]
    uses: NDArray[np.bool_]

    def rows(self, chosen: NDArray[np.bool_]) -> SiteData:
        """Some of the images."""
        return SiteData(self.features[chosen], self.labels[chosen], self.uses)


@dataclass(frozen=True)
class Task:
    """What the coordinator asks of every site alike.

    Attributes:
        proximity: how strongly the fit is held at the shared head (mu of FedProx, Li et al. 2020); larger: smaller steps.
        class_weights: float64 [labels], so that every class counts alike over all sites.
        mean_images: images of the mean site; a larger site's loss counts for more, within bounds.
        alone: the head is not a step of a round but all that the site would make by itself.
    """

    proximity: float
    class_weights: NDArray[np.float64]
    mean_images: float
    alone: bool = False

    def weights(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weight of each image in the site's loss, which they add up to: classes count alike over all sites."""
        share = float(np.clip(len(labels) / self.mean_images, _LEAST_SHARE, _MOST_SHARE))
        return np.asarray(self.class_weights[labels] * share / max(len(labels), 1), dtype=np.float64)


def fit(data: SiteData, shared: Head, standard: Standard, task: Task) -> Head:
    """The head that suits this site's images and stays near ``shared``; in standardised coordinates, float32."""
    if not isinstance(data.features, np.ndarray):
        return data.features.fit(data.labels, data.uses, shared, standard, task)
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    features = standard.apply(data.features).astype(np.float64)
    weights = task.weights(data.labels)
    start = np.concatenate([shared.weights.ravel(), shared.bias]).astype(np.float64)
    shape = shared.weights.shape
    chosen = np.arange(len(data.labels)), data.labels
    used = np.where(data.uses, 0.0, -np.inf)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = features @ flat[: -shape[1]].reshape(shape) + flat[-shape[1] :] + used
        logits -= logits.max(axis=1, keepdims=True)
        likelihood = np.exp(logits)
        total = likelihood.sum(axis=1, keepdims=True)
        value = float((weights * (np.log(total[:, 0]) - logits[chosen])).sum())
        slope = likelihood / total
        slope[chosen] -= 1
        slope *= weights[:, np.newaxis]
        away = flat - start
        gradient = np.concatenate([(features.T @ slope).ravel(), slope.sum(axis=0)]) + task.proximity * away
        return value + task.proximity / 2 * float(away @ away), gradient

    with threadpool_limits(1):  # threads that wait for each other make these small products ten times slower
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
    return Head(found[: -shape[1]].reshape(shape).astype(np.float32), found[-shape[1] :].astype(np.float32))


def suits(features: NDArray[np.float32] | Maps, head: Head, standard: Standard) -> bool:
    """Whether a head reads such features."""
    if isinstance(features, np.ndarray):
        return not head.body and features.shape[1] == len(head.weights) == len(standard.mean)
    return features.suits(head, standard)


def balanced_accuracy(data: SiteData, head: Head, standard: Standard) -> float | None:
    """Mean share of each class present that ``head`` calls right among the labels in use; None without images."""
    if not len(data.labels):
        return None
    if isinstance(data.features, np.ndarray):
        logits = head.logits(standard.apply(data.features))
    else:
        logits = data.features.logits(head, standard)
    logits = np.where(data.uses, logits, -np.inf)
    right = logits.argmax(axis=1) == data.labels
    return float(np.mean([right[data.labels == label].mean() for label in np.unique(data.labels)]))
