"""The teacher: what is fine-tuned above a boundary, and which images each one learns from. Pure.

It is never released. Its answers for the images it has learnt are what a spatial head of a fold may be taught by.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from coordinator.training.spatial.config import SpatialConfig
from protocols.spatial.shape import Layer


@dataclass(frozen=True)
class TeacherConfig:
    """How the network above ``maps`` is trained; what the fields of ``SpatialConfig`` are called means the same here.

    Attributes:
        backbone: id, as ``backbones.parse`` takes it.
        maps: the boundary, one layer.
    """

    backbone: str
    maps: tuple[Layer, ...] = ("mixed7",)
    epochs: int = 4
    warmup: float = 0.1
    batch: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    dropout: float = 0.3
    label_smoothing: float = 0.05
    views: int = 1
    view_share: float = 0.5
    validation: float = 0.0
    patience: int = 4
    class_power: float = 1.0
    seed: int = 0

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> TeacherConfig:
        """Read ``document``."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
        return cls(**values)


def targets(
    labels: NDArray[np.int64], answers: NDArray[np.float32], learnt: NDArray[np.bool_], config: SpatialConfig
) -> NDArray[np.float32]:
    """Targets for a head, float32 [1 + views, images, labels]: softened answers of its teacher mixed with the labels.

    Args:
        labels: int64 [images].
        answers: logits of the teacher [1 + views, images, labels].
        learnt: bool [images], what both are fitted on; whatever the teacher answers for other images stays unread, their
            targets are zeros.
        config: of the head.
    """
    found = np.zeros(answers.shape, dtype=np.float32)
    classes = answers.shape[2]
    hard = np.eye(classes)[labels[learnt]] * (1 - config.label_smoothing) + config.label_smoothing / classes
    soft = softmax(answers[:, learnt].astype(np.float64) / config.temperature, axis=2)
    found[:, learnt] = config.taught * soft + (1 - config.taught) * hard
    return found
