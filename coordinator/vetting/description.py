"""The labels file that comes with a brought model: what its answers mean and what it wants to see. docs/model-import.md. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from coordinator.errors import CoordinatorError
from protocols.artifacts import is_sha256
from protocols.manifest import MAX_LABELS, SLUG, Label

MAX_BYTES = 256 * 1024
MIN_EDGE_PX, MAX_EDGE_PX = 32, 1024
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
Channels = Literal["RGB", "BGR"]
Output = Literal["softmax", "logits", "sigmoid"]
_KINDS = ("disease", "normal", "image_quality", "other")
_KEYS = {"disease", "model", "name", "licence", "source", "labels", "input", "output", "sha256"}


@dataclass(frozen=True)
class Description:
    """What the bringer says about a model.

    Attributes:
        disease: slug, under which nodes find it.
        model: slug, which its versions share.
        name: what people call it.
        sha256: of the file, where its maker publishes it.
        edge_px: side of the square that the model sees.
        value_range: what black and white are for the model.
        output: what its last layer gives; ``sigmoid`` of one number for two labels is the second one's.
    """

    disease: str
    model: str
    name: str
    licence: str
    source: str
    labels: tuple[Label, ...]
    edge_px: int
    value_range: tuple[float, float]
    channels: Channels
    output: Output
    sha256: str | None = None


def read(data: bytes) -> Description:
    """Read a labels file; UTF-8 JSON.

    Raises:
        CoordinatorError: ``vetting.bad_labels`` with the field, ``vetting.no_range``.
    """
    if len(data) > MAX_BYTES:
        raise _bad("size", f"{len(data)} bytes; at most {MAX_BYTES}")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _bad("JSON", "no UTF-8 JSON") from error
    return parse(document)


def parse(document: Any) -> Description:
    """As ``read``, from JSON that is parsed already."""
    if not isinstance(document, dict):
        raise _bad("JSON", "an object is wanted")
    if unknown := sorted(set(document) - _KEYS):
        raise _bad(str(unknown[0])[:60], f"unknown; known are {', '.join(sorted(_KEYS))}")
    disease = _slug(document, "disease", None)
    labels = _labels(document.get("labels"))
    edge_px, value_range, channels = _input(document.get("input"))
    output = document.get("output")
    if output not in ("softmax", "logits", "sigmoid"):
        raise _bad("output", "softmax, logits or sigmoid")
    sha256 = document.get("sha256")
    if sha256 is not None and not is_sha256(sha256):
        raise _bad("sha256", "64 hexadecimal digits in lower case")
    return Description(
        disease=disease,
        model=_slug(document, "model", disease),
        name=_text(document, "name", 120),
        licence=_text(document, "licence", 200),
        source=_text(document, "source", 300),
        labels=labels,
        edge_px=edge_px,
        value_range=value_range,
        channels=channels,
        output=output,
        sha256=sha256,
    )


def _bad(field: str, reason: str) -> CoordinatorError:
    return CoordinatorError("vetting.bad_labels", field=field, reason=reason)


def _slug(document: dict[str, Any], field: str, default: str | None) -> str:
    value = document.get(field, default)
    if not isinstance(value, str) or SLUG.fullmatch(value) is None:
        raise _bad(field, "lower-case letters, digits and hyphens")
    return value


def _text(document: dict[str, Any], field: str, most: int) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
        raise _bad(field, f"one line of 1 to {most} characters")
    return value.strip()


def _labels(found: Any) -> tuple[Label, ...]:
    if not isinstance(found, list) or not 2 <= len(found) <= MAX_LABELS:
        raise _bad("labels", f"a list of 2 to {MAX_LABELS}")
    labels = tuple(_label(item) for item in found)
    if len({x.label for x in labels}) != len(labels):
        raise _bad("labels", "every label once")
    return labels


def _label(item: Any) -> Label:
    if isinstance(item, str):
        item = {"label": item}
    if not isinstance(item, dict) or not set(item) <= {"label", "entry", "kind"}:
        raise _bad("labels", 'a name, or {"label", "entry", "kind"}')
    entry, kind = item.get("entry"), item.get("kind", "disease")
    if entry is not None and (not isinstance(entry, str) or SLUG.fullmatch(entry) is None):
        raise _bad("labels", "entry: the id of a page of the knowledge base, or null")
    if kind not in _KINDS:
        raise _bad("labels", f"kind: {', '.join(_KINDS)}")
    return Label(_text(item, "label", 120), entry, kind)


def _input(found: Any) -> tuple[int, tuple[float, float], Channels]:
    if not isinstance(found, dict) or not set(found) <= {"edge_px", "range", "channels"}:
        raise _bad("input", 'an object with "edge_px", "range" and "channels"')
    edge = found.get("edge_px")
    if not isinstance(edge, int) or isinstance(edge, bool) or not MIN_EDGE_PX <= edge <= MAX_EDGE_PX:
        raise _bad("input.edge_px", f"a whole number from {MIN_EDGE_PX} to {MAX_EDGE_PX}")
    if found.get("range") is None:
        raise CoordinatorError("vetting.no_range")
    value_range = next((known for known in RANGES if found["range"] == list(known)), None)
    if value_range is None:
        raise _bad("input.range", "[0, 1], [-1, 1] or [0, 255]")
    channels = found.get("channels")
    if channels not in ("RGB", "BGR"):
        raise _bad("input.channels", "RGB or BGR")
    return edge, value_range, channels
