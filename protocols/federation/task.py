"""What a message of a federated run says beside its arrays: written by the coordinator, read strictly by every site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocols.artifacts import is_sha256
from protocols.errors import ProtocolError
from protocols.federation.exchange import EXCHANGES, Exchange
from protocols.federation.labels import read_labels
from protocols.manifest import SLUG
from protocols.spatial.shape import SpatialShape

MAX_TAPS = 32
MAX_SIZE = 1024  # width, depth and members of a spatial head, multiplied


@dataclass(frozen=True)
class Subject:
    """Which head is refined: a site looks for images of this disease and puts them through this trunk.

    Attributes:
        disease: slug.
        trunk: SHA-256 of the trunk's file, which the site must have.
        taps: the trunk's outputs that the head reads, in order.
        spatial: the shape of a spatial head, whose ``taps`` are maps; None: the head is linear.
    """

    disease: str
    trunk: str
    taps: tuple[str, ...]
    spatial: SpatialShape | None = None

    @classmethod
    def of_maps(cls, disease: str, trunk: str, shape: SpatialShape) -> Subject:
        """A spatial head."""
        return cls(disease, trunk, shape.inputs, shape)

    def document(self) -> dict[str, Any]:
        """The form in a message. A node that knows no spatial heads finds no ``taps`` in it and declines."""
        about = {"disease": self.disease, "trunk": self.trunk}
        if self.spatial is None:
            return {**about, "taps": list(self.taps)}
        of = self.spatial
        sizes = {"width": of.width, "depth": of.depth, "members": of.members, "residual": of.residual}
        return {**about, "maps": list(of.maps), "pooling": list(of.pooling), **sizes}


@dataclass(frozen=True)
class Training:
    """How a site is to train.

    Attributes:
        labels: that the head tells apart, in order.
        class_weights: a label's weight in the loss.
        mean_images: of a site.
        proximity: mu of FedProx.
        exchange: form of the answer.
        clip: longest change that may leave the site, in standardised coordinates; 0: any.
        noise: standard deviation of Gaussian noise on each parameter, in units of ``clip``; 0: none.
        everything: learn from the held-out images too, once the comparison with them is done.
    """

    labels: tuple[str, ...]
    class_weights: tuple[float, ...]
    mean_images: float
    proximity: float
    exchange: Exchange
    clip: float
    noise: float
    everything: bool

    def document(self) -> dict[str, Any]:
        """The form in a message."""
        return {
            "labels": list(self.labels),
            "class-weights": list(self.class_weights),
            "mean-images": self.mean_images,
            "proximal-mu": self.proximity,
            "exchange": self.exchange,
            "clip": self.clip,
            "noise": self.noise,
            "everything": self.everything,
        }


def read_subject(document: dict[str, Any]) -> Subject:
    """Read ``Subject.document``.

    Raises:
        ProtocolError: ``federation.task_malformed``.
    """
    match document:
        case {"disease": str(disease), "trunk": str(trunk), "taps": list(taps)} if (
            SLUG.fullmatch(disease)
            and is_sha256(trunk)
            and 0 < len(taps) <= MAX_TAPS
            and all(isinstance(t, str) and 0 < len(t) <= 40 for t in taps)
        ):
            return Subject(disease, trunk, tuple(taps))
        case {
            "disease": str(disease),
            "trunk": str(trunk),
            "maps": list(maps),
            "pooling": list(pooling),
            "width": int(width),
            "depth": int(depth),
            "members": int(members),
            "residual": bool(residual),
        } if SLUG.fullmatch(disease) and is_sha256(trunk) and width * depth * members <= MAX_SIZE:
            try:
                shape = SpatialShape(tuple(maps), width, depth, residual, tuple(pooling), members)
            except (TypeError, ValueError) as error:
                raise ProtocolError("federation.task_malformed") from error
            return Subject.of_maps(disease, trunk, shape)
    raise ProtocolError("federation.task_malformed")


def read_training(document: dict[str, Any]) -> Training:
    """Read ``Training.document``.

    Raises:
        ProtocolError: ``federation.task_malformed``.
    """
    labels = read_labels(document.get("labels"))
    weights = document.get("class-weights")
    if not isinstance(weights, list) or len(weights) != len(labels):
        raise ProtocolError("federation.task_malformed")
    exchange, everything = document.get("exchange"), document.get("everything")
    if exchange not in EXCHANGES or not isinstance(everything, bool):
        raise ProtocolError("federation.task_malformed")
    return Training(
        labels,
        tuple(_number(w, 0.0, 1e6) for w in weights),
        _number(document.get("mean-images"), 1.0, 1e6),
        _number(document.get("proximal-mu"), 1e-3, 1e6),
        exchange,
        _number(document.get("clip"), 0.0, 1e6),
        _number(document.get("noise"), 0.0, 1e3),
        everything,
    )


def _number(value: object, least: float, most: float) -> float:
    if type(value) not in (int, float) or not isinstance(value, int | float) or not least <= value <= most:
        raise ProtocolError("federation.task_malformed")
    return float(value)
