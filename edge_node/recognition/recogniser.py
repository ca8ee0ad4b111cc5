"""From a file to scores, prediction set and outcome, for several models at once. Blocking: run it in a thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_node.recognition.picture import Picture
from protocols.artifacts import sha256_file
from protocols.explanation import Evidence
from protocols.imaging import InputSpec, Quality, measure_quality, prepare
from protocols.manifest import ReleaseManifest
from protocols.pictures import open_picture
from protocols.pipeline import Tensors
from protocols.recognition import Answer, answer
from protocols.selftest import Runner


class ExplainingRunner(Runner, Protocol):
    """Runs a release's stages and tells where its evidence lies; ``protocols.pipeline.Pipelines`` in the field."""

    def evidence(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Evidence | None:
        """Each location's share of the logits; None where the model cannot tell."""
        ...


@dataclass(frozen=True)
class Recognition:
    """What one model says about one picture.

    Attributes:
        picture: the file, and what of it the model saw.
        sha256: digest of the file.
        manifest: the release that was run.
        answer: scores, prediction set, outcome.
        quality: measures of the prepared input.
        prepare_ms: decoding and scaling, shared by the models with the same input.
        infer_ms: running the model; stages shared with an earlier model cost nothing again.
        evidence: where the logits come from; None where nobody asked or the model cannot tell.
    """

    picture: Picture
    sha256: str
    manifest: ReleaseManifest
    answer: Answer
    quality: Quality
    prepare_ms: float
    infer_ms: float
    evidence: Evidence | None = None


@dataclass(frozen=True)
class _Prepared:
    pixels: NDArray[np.float32]
    quality: Quality
    memo: dict[str, Tensors]
    milliseconds: float = 0.0


class LastPicture:
    """The picture prepared last, with what the stages made of it: an explanation follows an answer and repeats neither."""

    def __init__(self) -> None:
        self._key: tuple[str, Picture, InputSpec] | None = None
        self._prepared: _Prepared | None = None

    def prepared(self, picture: Picture, sha256: str, spec: InputSpec) -> _Prepared:
        """The picture as ``spec`` wants it, from the last time if it is the same.

        Raises:
            ImageError: ``image.*``.
            OSError: the file cannot be read.
        """
        key = (sha256, picture, spec)
        start = time.perf_counter()
        if self._prepared is None or key != self._key:
            self._key = self._prepared = None
            self._prepared = _prepare(picture, spec)
            self._key = key
        return replace(self._prepared, milliseconds=(time.perf_counter() - start) * 1000)


class Recogniser:
    """Runs installed releases over pictures; each picture is prepared once for each kind of input."""

    def __init__(self, runner: ExplainingRunner, last: LastPicture | None = None) -> None:
        """Args: last: shared by recognisers that are asked about the same picture in turn."""
        self._runner = runner
        self._last = last or LastPicture()

    def recognise(
        self, picture: Picture, releases: Sequence[ReleaseManifest], *, explain: bool = False
    ) -> list[Recognition]:
        """One recognition for each release, in their order; with evidence if ``explain``.

        Raises:
            ProtocolError: ``image.*`` where the picture cannot be used, ``stage.*`` where a model cannot.
            OSError: the file cannot be read.
        """
        sha256 = sha256_file(picture.file)
        prepared: dict[InputSpec, _Prepared] = {}
        found = []
        for manifest in releases:
            spec = manifest.input
            if spec not in prepared:
                prepared[spec] = self._last.prepared(picture, sha256, spec)
            recognition = self._run(picture, sha256, manifest, prepared[spec])
            if explain:
                evidence = self._runner.evidence(manifest, prepared[spec].pixels, prepared[spec].memo)
                recognition = replace(recognition, evidence=evidence)
            found.append(recognition)
        return found

    def _run(self, picture: Picture, sha256: str, manifest: ReleaseManifest, ready: _Prepared) -> Recognition:
        start = time.perf_counter()
        logits = self._runner.logits(manifest, ready.pixels, ready.memo)
        residuals = self._runner.residuals(manifest, ready.pixels, ready.memo)
        found = answer(manifest, logits, ready.quality, residuals)
        infer_ms = (time.perf_counter() - start) * 1000
        return Recognition(picture, sha256, manifest, found, ready.quality, ready.milliseconds, infer_ms)


def _prepare(picture: Picture, spec: InputSpec) -> _Prepared:
    with open_picture(picture.file, picture.frame) as opened:
        pixels = prepare(opened, spec, picture.crop)
    return _Prepared(pixels, measure_quality(pixels, spec), {})
