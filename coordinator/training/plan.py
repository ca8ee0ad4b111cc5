"""What a training is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from coordinator.intake.samples import Sample
from coordinator.training.ladder.ascent import Effort
from coordinator.training.modality import Modality
from protocols.manifest import Label


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Attributes:
        labels: in the order of the sorted class names.
        backbones: ids; of several, the first is kept unless another is shown to be better.
        modality: None where it shall be guessed from names and pictures.
    """

    dataset: str
    disease: str
    version: int
    samples: list[Sample]
    labels: list[Label]
    backbones: tuple[str, ...]
    effort: Effort
    budget_kb: int | None
    now: datetime
    modality: Modality | None = None
