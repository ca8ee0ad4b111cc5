"""The release manifest: what a model consists of, how to run it and what its answers mean.

The manifest is the one document that is signed; it names every other byte by SHA-256. Reading one is strict: whatever is
not understood is refused, so that an old node never half-understands a new release.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from protocols.artifacts import Artifact, canonical_json, is_sha256
from protocols.errors import ProtocolError
from protocols.imaging import InputSpec

FORMAT = "medmesh.release/1"
MAX_MANIFEST_BYTES = 256 * 1024
MAX_LABELS = 256
MAX_METHODS = 32
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_RELEASE = re.compile(r"([a-z0-9][a-z0-9-]{0,62})@([1-9][0-9]{0,8})")


def slugify(text: str) -> str:
    """The slug nearest to a name; empty where nothing of it can stand in one."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def parse_release_name(name: str) -> tuple[str, int | None]:
    """Split ``model@version`` or ``model`` (version None: the newest).

    Raises:
        ProtocolError: ``release.bad_name``.
    """
    if found := _RELEASE.fullmatch(name):
        return found[1], int(found[2])
    if SLUG.fullmatch(name):
        return name, None
    raise ProtocolError("release.bad_name", name=name)


@dataclass(frozen=True)
class Backbone:
    """Where the frozen trunk's weights come from."""

    id: str
    weights_sha256: str
    licence: str
    source: str


@dataclass(frozen=True)
class Label:
    """One class of the model. ``entry`` is its page in the disease knowledge base; None: released without one."""

    label: str
    entry: str | None
    kind: str  # disease | normal | image_quality | other


@dataclass(frozen=True)
class Stage:
    """One TFLite file of the pipeline. ``inputs`` are the earlier stage's named outputs; empty: the image."""

    sha256: str
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """How raw logits become scores and prediction sets.

    Attributes:
        temperature: logits are divided by it before softmax.
        coverage: stated probability that the prediction set holds the true label.
        thresholds: per label, the highest nonconformity (1 - score) that stays in the set (class-conditional split
            conformal prediction; Vovk 2012, Sadinle et al. 2019).
        bias: per label, added to the logits after the temperature; moved by recalibration at another site (bias-corrected
            temperature scaling, Alexandari et al. 2020), else 0.
    """

    temperature: float
    coverage: float
    thresholds: tuple[float, ...]
    bias: tuple[float, ...]


@dataclass(frozen=True)
class QualityLimits:
    """Bounds of ``imaging.Quality`` outside which an image is called poor; from training images and degraded copies."""

    sharpness_min: float
    exposure_min: float
    exposure_max: float
    highlight_min: float
    clipped_max: float


@dataclass(frozen=True)
class NoveltyLimits:
    """How to tell what the model does not know. Limits are of ``novelty.Residuals``.

    Attributes:
        sha256: the artifact with the statistics.
        inputs: the trunk's pooled outputs that it reads, in order.
        familiar: the highest appearance residual of a picture like the training images.
        foreign: the highest of a strongly altered view of one; above it is another kind of image.
        layout: the highest layout residual of a picture like the training images.
    """

    sha256: str
    inputs: tuple[str, ...]
    familiar: float
    foreign: float
    layout: float


@dataclass(frozen=True)
class Golden:
    """The self-test: square pictures side by side in one PNG and the scores that the publisher got for them."""

    sha256: str
    scores: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ReleaseManifest:
    """Everything a node must know to fetch, check, run and explain one release."""

    disease: str
    model: str
    version: int
    created: str  # ISO 8601, UTC
    least_node_version: str
    input: InputSpec
    artifacts: tuple[Artifact, ...]
    stages: tuple[Stage, ...]
    labels: tuple[Label, ...]
    calibration: Calibration
    quality: QualityLimits
    novelty: NoveltyLimits | None  # None: a model brought ready-trained, which cannot tell what it does not know
    golden: Golden
    backbone: Backbone | None  # None: a model brought ready-trained
    unmapped_reason: str | None = None
    floor_version: int = 0  # once active, no lower version of this model may ever be chosen again
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    # How each threshold was found, by its name: a method and its numbers. For people; empty in the first releases.
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``model@version``, the name of the release."""
        return f"{self.model}@{self.version}"

    @property
    def needed_to_run(self) -> tuple[Artifact, ...]:
        """What recognising takes: the stages, and the novelty statistics where there are some."""
        digests = [stage.sha256 for stage in self.stages]
        if self.novelty is not None:
            digests.append(self.novelty.sha256)
        return tuple(self.artifact(sha256) for sha256 in dict.fromkeys(digests))

    def artifact(self, sha256: str) -> Artifact:
        """The artifact with this digest; reading the manifest has made sure that it is there."""
        return next(a for a in self.artifacts if a.sha256 == sha256)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        document = {
            "format": FORMAT,
            "disease": self.disease,
            "model": self.model,
            "version": self.version,
            "created": self.created,
            "least_node_version": self.least_node_version,
            "input": self.input.document(),
            "artifacts": [a.document() for a in self.artifacts],
            "stages": [{"sha256": s.sha256, "inputs": list(s.inputs)} for s in self.stages],
            "labels": [{"label": x.label, "entry": x.entry, "kind": x.kind} for x in self.labels],
            "calibration": {
                "temperature": self.calibration.temperature,
                "coverage": self.calibration.coverage,
                "thresholds": list(self.calibration.thresholds),
                "bias": list(self.calibration.bias),
            },
            "quality": vars(self.quality),
            "novelty": None if self.novelty is None else {**vars(self.novelty), "inputs": list(self.novelty.inputs)},
            "golden": {"sha256": self.golden.sha256, "scores": [list(row) for row in self.golden.scores]},
            "backbone": None if self.backbone is None else vars(self.backbone),
            "unmapped_reason": self.unmapped_reason,
            "floor_version": self.floor_version,
            "metrics": self.metrics,
            "data": self.data,
        }
        return document | ({"methods": self.methods} if self.methods else {})  # without: the same bytes as ever

    def to_bytes(self) -> bytes:
        """The canonical bytes, whose digest names the manifest."""
        return canonical_json(self.document())

    @classmethod
    def from_bytes(cls, data: bytes) -> ReleaseManifest:
        """Read and check a manifest.

        Raises:
            ProtocolError: ``manifest.malformed`` with the field, or ``manifest.prepare_version``.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise ProtocolError("manifest.malformed", field="size")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("manifest.malformed", field="JSON") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ProtocolError("manifest.malformed", field="format")
        manifest = _Reader(document).manifest()
        _check_references(manifest)
        return manifest


class _Reader:
    """Turns the JSON document into the dataclass; names the field that does not fit."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._field = ""

    def manifest(self) -> ReleaseManifest:
        try:
            return self._read()
        except ProtocolError as error:
            if error.code == "artifact.malformed":
                raise ProtocolError("manifest.malformed", field="artifacts") from error
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError("manifest.malformed", field=self._field) from error

    def _get(self, name: str) -> Any:
        self._field = name
        return self._document[name]

    def _slug(self, name: str) -> str:
        return str(_require(self._get(name), SLUG.fullmatch))

    def _read(self) -> ReleaseManifest:
        labels = tuple(_label(x) for x in _list(self._get("labels"), 2, MAX_LABELS))
        if len({x.label for x in labels}) != len(labels):
            raise ValueError
        count = len(labels)
        spec = InputSpec.from_document(self._get("input"))
        calibration, quality, golden = self._get("calibration"), self._get("quality"), self._get("golden")
        self._field = "calibration"
        read_calibration = Calibration(
            temperature=_number(calibration["temperature"], 1e-3, 1e3),
            coverage=_number(calibration["coverage"], 0.0, 1.0),
            thresholds=tuple(_number(x, 0.0, 1.0) for x in _list(calibration["thresholds"], count, count)),
            bias=tuple(_number(x, -100.0, 100.0) for x in _list(calibration["bias"], count, count)),
        )
        self._field = "quality"
        read_quality = QualityLimits(
            _number(quality["sharpness_min"], 0.0, 1e6),
            _number(quality["exposure_min"], 0.0, 1.0),
            _number(quality["exposure_max"], 0.0, 1.0),
            _number(quality["highlight_min"], 0.0, 1.0),
            _number(quality["clipped_max"], 0.0, 1.0),
        )
        self._field = "golden"
        read_golden = Golden(
            _require(golden["sha256"], is_sha256),
            tuple(
                tuple(_number(x, 0.0, 1.0) for x in _list(row, count, count)) for row in _list(golden["scores"], 1, 64)
            ),
        )
        return ReleaseManifest(
            disease=self._slug("disease"),
            model=self._slug("model"),
            version=int(_number(self._get("version"), 1, 999_999_999)),
            created=_text(self._get("created"), 40),
            least_node_version=_require(self._get("least_node_version"), re.compile(r"\d+(\.\d+){0,3}").fullmatch),
            input=spec,
            artifacts=tuple(Artifact.from_document(x) for x in _list(self._get("artifacts"), 1, 64)),
            stages=tuple(_stage(x) for x in _list(self._get("stages"), 1, 8)),
            labels=labels,
            calibration=read_calibration,
            quality=read_quality,
            novelty=_novelty(self._get("novelty")),
            golden=read_golden,
            backbone=_backbone(self._get("backbone")),
            unmapped_reason=None if self._get("unmapped_reason") is None else _text(self._get("unmapped_reason"), 500),
            floor_version=int(_number(self._get("floor_version"), 0, 999_999_999)),
            metrics=_require(self._get("metrics"), lambda x: isinstance(x, dict)),
            data=_require(self._get("data"), lambda x: isinstance(x, dict)),
            methods=self._methods(),
        )

    def _methods(self) -> dict[str, dict[str, Any]]:
        self._field = "methods"
        found = _require(self._document.get("methods", {}), lambda x: isinstance(x, dict) and len(x) <= MAX_METHODS)
        for value in found.values():
            _text(_require(value, lambda x: isinstance(x, dict))["method"], 60)
        return dict(found)


def _require(value: Any, fits: Any) -> Any:
    if not fits(value):
        raise ValueError
    return value


def _list(value: Any, least: int, most: int) -> list[Any]:
    return list(_require(value, lambda x: isinstance(x, list) and least <= len(x) <= most))


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError
    return float(value)


def _text(value: Any, most: int) -> str:
    return str(_require(value, lambda x: isinstance(x, str) and 0 < len(x) <= most and x.isprintable()))


def _label(document: Any) -> Label:
    entry = document["entry"]
    return Label(
        _text(document["label"], 120),
        None if entry is None else _require(entry, SLUG.fullmatch),
        _require(document["kind"], ("disease", "normal", "image_quality", "other").__contains__),
    )


def _stage(document: Any) -> Stage:
    inputs = tuple(_text(x, 60) for x in _list(document["inputs"], 0, 32))
    return Stage(_require(document["sha256"], is_sha256), inputs)


def _backbone(document: Any) -> Backbone | None:
    if document is None:
        return None
    return Backbone(
        id=_text(document["id"], 200),
        weights_sha256=_require(document["weights_sha256"], is_sha256),
        licence=_text(document["licence"], 200),
        source=_text(document["source"], 300),
    )


def _novelty(document: Any) -> NoveltyLimits | None:
    if document is None:
        return None
    return NoveltyLimits(
        sha256=_require(document["sha256"], is_sha256),
        inputs=tuple(_text(x, 60) for x in _list(document["inputs"], 1, 32)),
        familiar=_number(document["familiar"], 0.0, 1e9),
        foreign=_number(document["foreign"], 0.0, 1e9),
        layout=_number(document["layout"], 0.0, 1e9),
    )


def _check_references(manifest: ReleaseManifest) -> None:
    """Every digest that the manifest uses must be one of its artifacts; no artifact is listed twice."""
    known = [a.sha256 for a in manifest.artifacts]
    used = [*(s.sha256 for s in manifest.stages), manifest.golden.sha256]
    if manifest.novelty is not None:
        used.append(manifest.novelty.sha256)
    if len(set(known)) != len(known) or not set(used) <= set(known):
        raise ProtocolError("manifest.malformed", field="artifacts")
    if manifest.stages[0].inputs or not all(s.inputs for s in manifest.stages[1:]):
        raise ProtocolError("manifest.malformed", field="stages")
