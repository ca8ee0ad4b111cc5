"""The Flower ClientApp: four answers that a site gives. The same app runs over the mesh and on Flower's own SuperNode.

``query`` says which labels the site has and, coarsely, how many images of each. ``train`` sends what the shared head learned
here. ``train.alone`` sends a head that the site would make by itself, to compare with. ``evaluate`` scores heads on images
that no training here has seen. Nothing else leaves the site.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from edge_node.errors import EdgeError
from edge_node.federation.images import LabelledFeatures
from edge_node.federation.local import SiteData, Task, balanced_accuracy, fit, suits
from edge_node.federation.noise import clipped, noised
from protocols.errors import MedMeshError, ProtocolError
from protocols.federation import flower
from protocols.federation.counts import coarse
from protocols.federation.exchange import pack_change, unpack_head, unpack_standard
from protocols.federation.head import Head, Standard
from protocols.federation.labels import LabelSpace
from protocols.federation.spatial import body_shapes
from protocols.federation.task import Subject, Training, read_subject, read_training

REFUSED = 1  # code of Flower's Error; its reason is a code of ours
MAX_HEADS = 16
LEAST_IMAGES = (
    20  # a change made of one image is that image's features; benchmarks/federation_privacy.py has the figures
)
_ALONE_STRENGTH = 1e-3  # of a head that the site makes alone: scikit-learn's C, as training here uses it


class Site(Protocol):
    """Where a site's images come from."""

    def features(self, subject: Subject) -> LabelledFeatures:
        """All labelled images of a disease as the trunk sees them.

        Raises:
            MedMeshError: there are none, or the site does not take part.
        """
        ...


def make_app(site_of: Callable[[Context], Site], generator: np.random.Generator) -> ClientApp:
    """The app of a site; ``generator`` is for privacy noise, from the system's own source of chance."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return _answer(message, lambda: _query(message, site_of(context)))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(message, lambda: _train(message, site_of(context), generator, alone=False))

    @app.train("alone")
    def alone(message: Message, context: Context) -> Message:
        return _answer(message, lambda: _train(message, site_of(context), generator, alone=True))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _answer(message, lambda: _evaluate(message, site_of(context)))

    return app


def _answer(message: Message, work: Callable[[], Any]) -> Message:
    """A reply, or an error that names the reason by its code alone."""
    try:
        return Message(work(), reply_to=message)
    except MedMeshError as error:
        return Message(Error(REFUSED, error.code), reply_to=message)


def _query(message: Message, site: Site) -> Any:
    found = _enough(site.features(read_subject(_config(message))))
    counts = [coarse(int(n)) for n in np.bincount(found.labels, minlength=len(found.names))]
    return flower.records(configs={"site": {"labels": list(found.names), "counts": counts}})


def _train(message: Message, site: Site, generator: np.random.Generator, *, alone: bool) -> Any:
    training, data, held_out, shared, standard = _read(message, site)
    seen = data if training.everything else data.rows(~held_out)
    if not len(seen.labels):
        raise ProtocolError("federation.no_images")
    if alone:
        task = Task(1 / (_ALONE_STRENGTH * len(seen.labels)), _own_weights(seen), len(seen.labels), alone=True)
    else:
        task = Task(training.proximity, np.array(training.class_weights), training.mean_images)
    new = fit(seen, shared, standard, task)
    if training.clip:
        new = noised(clipped(new, shared, training.clip), training.noise * training.clip, generator)
    # Once the head has learned from the held-out images too, a score on them would say nothing.
    score = None if training.everything else balanced_accuracy(data.rows(held_out), shared, standard)
    return flower.records(
        arrays={"arrays": pack_change(new, shared, training.exchange)},
        metrics={"metrics": {"images": coarse(len(seen.labels)), "score": -1.0 if score is None else round(score, 3)}},
    )


def _evaluate(message: Message, site: Site) -> Any:
    _, data, held_out, first, standard = _read(message, site)
    heads = [unpack_head(flower.arrays_of(r), first.shape.body) for n, r in sorted(_heads(message).items())]
    if any(head.shape != first.shape for head in heads):
        raise ProtocolError("federation.task_malformed")
    found = [balanced_accuracy(data.rows(held_out), head, standard) for head in heads]
    return flower.records(
        metrics={
            "metrics": {
                "images": coarse(int(held_out.sum())),
                "scores": [-1.0 if score is None else round(score, 3) for score in found],
            }
        }
    )


def _read(message: Message, site: Site) -> tuple[Training, SiteData, NDArray[np.bool_], Head, Standard]:
    """What a message asks, and this site's images under the shared labels."""
    config = _config(message)
    training = read_training(config)
    subject = read_subject(config)
    first, standard = _start(message, subject)
    if first.shape.labels != len(training.labels):
        raise ProtocolError("federation.task_malformed")
    found = _enough(site.features(subject))
    if not suits(found.features, first, standard):
        raise ProtocolError("federation.task_malformed")
    uses = LabelSpace(training.labels, {}).mask(found.names)
    numbers = np.array([training.labels.index(n) if n in training.labels else -1 for n in found.names])[found.labels]
    known = numbers >= 0  # images under a label that is not shared stay out
    return training, SiteData(found.features[known], numbers[known], uses), found.held_out[known], first, standard


def _enough(found: LabelledFeatures) -> LabelledFeatures:
    if len(found.labels) < LEAST_IMAGES:
        raise EdgeError("federation.too_few_images", count=len(found.labels), least=LEAST_IMAGES)
    return found


def _config(message: Message) -> dict[str, Any]:
    record = message.content.config_records.get("config")
    if not isinstance(record, ConfigRecord):
        raise ProtocolError("federation.task_malformed")
    return dict(record)


def _heads(message: Message) -> dict[str, Any]:
    found = {n: r for n, r in message.content.array_records.items() if n != "standard"}
    if not 0 < len(found) <= MAX_HEADS or "standard" not in message.content.array_records:
        raise ProtocolError("federation.task_malformed")
    return found


def _start(message: Message, subject: Subject) -> tuple[Head, Standard]:
    """The first head of a message, and the shared coordinates. A spatial head's channels are as many as these say."""
    heads = _heads(message)
    arrays = flower.arrays_of(heads[min(heads)])
    coordinates = flower.arrays_of(message.content.array_records["standard"])
    of = subject.spatial
    if of is None:
        first = unpack_head(arrays)
        return first, unpack_standard(coordinates, len(first.weights))
    channels = coordinates["mean"].size // len(of.maps) if "mean" in coordinates else 0
    first = unpack_head(arrays, body_shapes(of, channels))
    if len(first.weights) != of.members * of.features:
        raise ProtocolError("federation.task_malformed")
    return first, unpack_standard(coordinates, len(of.maps) * channels)


def _own_weights(data: SiteData) -> NDArray[np.float64]:
    counts = np.bincount(data.labels, minlength=len(data.uses)).astype(np.float64)
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = len(data.labels) / (present.sum() * counts[present])
    return weights
