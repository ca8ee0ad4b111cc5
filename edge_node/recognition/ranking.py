"""The order of several models' answers about one picture: what needs attention first. Pure.

1. a finding that was recognised, 2. not sure, 3. recognised as normal, 4. a picture of poor quality, 5. a picture of a kind
that the model does not know, whose scores mean nothing. Within each, the likelier finding first; scores are calibrated, so
that those of different models compare.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_node.recognition.recogniser import Recognition

_NO_FINDING = ("normal", "image_quality")  # kinds of labels; an unmapped label ("other") may be a disease


def ranked(recognitions: Sequence[Recognition]) -> list[Recognition]:
    """One picture's recognitions in order; equal ones keep theirs."""
    return sorted(recognitions, key=lambda recognition: (_group(recognition), -_likeliest_finding(recognition)))


def _group(recognition: Recognition) -> int:
    found = recognition.answer
    match found.outcome:
        case "recognised":
            kind = recognition.manifest.labels[found.in_set[0]].kind
            return {"normal": 3, "image_quality": 4}.get(kind, 1)
        case "unsure":
            return 2
        case "poor_quality":
            return 4
        case "not_this_kind_of_image":
            return 5


def _likeliest_finding(recognition: Recognition) -> float:
    """The highest score of a label that is a finding; 0 where the model has none."""
    pairs = zip(recognition.manifest.labels, recognition.answer.scores.tolist(), strict=True)
    return max((score for label, score in pairs if label.kind not in _NO_FINDING), default=0.0)
