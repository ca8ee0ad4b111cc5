"""What a spatial head looks like and how it is trained. Everything that an experiment may move stands here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from protocols.spatial.shape import SpatialShape

CHANNELS = 768  # of both layers in every InceptionV3
_OVERHEAD_BYTES = 6_000  # a map: graph, names, signature and what is too small to be stored as int8
_LEAST_QUANTISED = 1024  # weights of a tensor from which TFLite stores it as int8


@dataclass(frozen=True)
class SpatialConfig(SpatialShape):
    """One spatial head: its shape, and how it is trained.

    Attributes:
        epochs: at most; the learning rate rises over the first of them and falls to zero along a cosine.
        warmup: share of the steps over which it rises.
        batch: images a step.
        learning_rate: of AdamW, at its highest.
        weight_decay: of AdamW, on kernels.
        dropout: share of pooled features left out in training.
        channel_dropout: share of channels left out of a whole map after the first convolution in training.
        label_smoothing: share of the target spread over all labels.
        views: altered views of each image that training draws from beside the image itself.
        view_share: share of the draws that are altered views.
        validation: share of the training groups kept aside to choose the epoch; 0: the last epoch is taken.
        patience: epochs without a better validation loss after which training ends.
        taught: share of each target that a teacher's answer is; 0: there is no teacher.
        temperature: by which the teacher's logits are divided.
        class_power: classes are weighted by their count to minus this power; 1: every class counts alike.
        seed: of everything random.
    """

    epochs: int = 24
    warmup: float = 0.1
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 5e-2
    dropout: float = 0.3
    channel_dropout: float = 0.0
    label_smoothing: float = 0.05
    views: int = 0
    view_share: float = 0.5
    validation: float = 0.0
    patience: int = 4
    taught: float = 0.0
    temperature: float = 2.0
    class_power: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.epochs, self.batch) < 1 or self.views < 0:
            raise ValueError("sizes are positive")
        if not all(0 <= x < 1 for x in (self.validation, self.dropout, self.channel_dropout, self.warmup)):
            raise ValueError("shares lie between 0 and 1")
        if not (0 <= self.view_share <= 1 and 0 <= self.taught <= 1):
            raise ValueError("shares lie between 0 and 1")

    def tensors(self, labels: int) -> list[int]:
        """Sizes of the file's weight tensors, in weights."""
        block = [9 * self.width, self.width, self.width**2, self.width]
        branch = [CHANNELS * self.width, self.width, *block * self.depth]
        branch += [self.width] * ("attention" in self.pooling)
        member = branch * len(self.maps) + [self.features * labels]
        return [*member * self.members, labels]

    def parameters(self, labels: int) -> int:
        """Weights of the whole head."""
        return sum(self.tensors(labels))

    def estimated_bytes(self, labels: int, bytes_per_weight: int = 1) -> int:
        """About the size of the head's file, a little too high; small tensors stay float32 beside int8."""
        least = _LEAST_QUANTISED if bytes_per_weight == 1 else 0
        sizes = (n * (bytes_per_weight if n >= least else 4) for n in self.tensors(labels))
        overhead = _OVERHEAD_BYTES * self.members * len(self.maps)
        scales = (
            4 * (self.width * self.members + CHANNELS) * len(self.maps)
        )  # of each channel that goes out, and that comes in
        return sum(sizes) + overhead + scales

    def document(self) -> dict[str, Any]:
        """The JSON form, for manifests, cards and checkpoints."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> SpatialConfig:
        """Read ``document``."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
        return cls(**values)
