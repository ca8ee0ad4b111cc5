"""Label spaces that differ between sites: the union with masks, or a refusal with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError
from protocols.manifest import MAX_LABELS

LEAST_SITES = 2  # of a label that the model does not have: one site alone would decide what it is
MAX_LABEL_CHARS = 120


@dataclass(frozen=True)
class LabelSpace:
    """What the refined head tells apart.

    Attributes:
        labels: the model's own labels first, in its order, then new ones, sorted.
        refused: site -> the labels of it that are left out, with why.
    """

    labels: tuple[str, ...]
    refused: Mapping[str, tuple[str, ...]]

    def mask(self, own: Sequence[str]) -> NDArray[np.bool_]:
        """Which labels a site tells apart, bool [labels].

        Raises:
            ProtocolError: ``federation.labels_disjoint`` where it has fewer than two of them: nothing to compare.
        """
        found = np.array([label in own for label in self.labels])
        if found.sum() < 2:
            raise ProtocolError("federation.labels_disjoint", labels=", ".join(self.labels))
        return found


def read_labels(value: object) -> tuple[str, ...]:
    """A site's labels from a stranger.

    Raises:
        ProtocolError: ``federation.reply_labels``.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MAX_LABELS:
        raise ProtocolError("federation.reply_labels")
    if not all(isinstance(x, str) and 0 < len(x) <= MAX_LABEL_CHARS and x.isprintable() for x in value):
        raise ProtocolError("federation.reply_labels")
    if len(set(value)) != len(value):
        raise ProtocolError("federation.reply_labels")
    return tuple(value)


def union(model: Sequence[str], sites: Mapping[str, Sequence[str]]) -> LabelSpace:
    """The labels of the model and of the sites together.

    A label that the model does not have counts where ``LEAST_SITES`` sites have it; else the images under it stay out, and
    the site is told. Labels are compared letter by letter: two spellings are two labels, which a person must resolve.
    """
    new: dict[str, int] = {}
    for own in sites.values():
        for label in set(own) - set(model):
            new[label] = new.get(label, 0) + 1
    accepted = sorted(label for label, count in new.items() if count >= LEAST_SITES)
    labels = (*model, *accepted)[:MAX_LABELS]
    left_out = {site: tuple(sorted(set(own) - set(labels))) for site, own in sites.items()}
    return LabelSpace(labels, {site: out for site, out in left_out.items() if out})
