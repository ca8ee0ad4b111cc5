"""Runs a release's stages with LiteRT: the same code for training, evaluation, self-test and recognition.

LiteRT itself is imported only when a stage is loaded, so that readers of manifests do not need it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocols import explanation
from protocols.errors import ProtocolError
from protocols.explanation import EVIDENCE, Evidence, LinearMap
from protocols.manifest import ReleaseManifest
from protocols.novelty import NoveltyStatistics, Residuals

LOGITS = "logits"
Tensors = dict[str, NDArray[np.float32]]


class StageRunner:
    """One TFLite file, loaded by path (memory-mapped: loading costs nothing, passing bytes 87 ms)."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load a stage.

        Raises:
            ProtocolError: ``stage.unusable`` where LiteRT refuses the file.
        """
        from ai_edge_litert.interpreter import Interpreter

        try:
            with _quiet():
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
                self._signature = self._interpreter.get_signature_runner()
                self.inputs = {name: tuple(d["shape"]) for name, d in self._signature.get_input_details().items()}
                self.outputs = {name: tuple(d["shape"]) for name, d in self._signature.get_output_details().items()}
        except (ValueError, RuntimeError, KeyError, UnicodeDecodeError) as error:
            raise ProtocolError("stage.unusable") from error

    def run(self, inputs: Tensors) -> Tensors:
        """Run the stage; tensors are float32 with the shapes in ``inputs`` and ``outputs``.

        Raises:
            ProtocolError: ``stage.unusable`` where the tensors do not fit.
        """
        try:
            return dict(self._signature(**inputs))
        except (ValueError, RuntimeError) as error:
            raise ProtocolError("stage.unusable") from error


class Pipelines:
    """Runs releases over images, sharing loaded stages between releases and each stage's output within an image."""

    def __init__(self, path_of: Callable[[str], Path], threads: int = 1) -> None:
        """Args: path_of: gives the file of an artifact that is already verified."""
        self._path_of = path_of
        self._threads = threads
        self._runners: dict[str, StageRunner] = {}
        self._novelty: dict[str, NoveltyStatistics] = {}
        self._linear: dict[str, LinearMap | None] = {}

    def logits(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> NDArray[np.float32]:
        """Logits [labels] for prepared ``pixels`` [1, edge, edge, 3].

        Args:
            manifest: the release.
            pixels: from ``imaging.prepare`` with the manifest's input spec.
            memo: empty for a new image; pass the same one for further releases on the same pixels.

        Raises:
            ProtocolError: ``stage.unusable`` or ``stage.wrong_output``.
        """
        return _logits(manifest, self._outputs(manifest, pixels, memo))

    def evidence(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Evidence | None:
        """Where the logits come from; None where the model cannot tell. Arguments as ``logits``, whose work is not repeated.

        A head with an output ``evidence`` [1, h, w, labels] tells it itself; a linear head on pooled layers is taken apart.

        Raises:
            ProtocolError: ``stage.*``.
        """
        outputs = self._outputs(manifest, pixels, memo)
        logits, head = _logits(manifest, outputs), manifest.stages[-1].sha256
        if EVIDENCE in self._runner(head).outputs:
            own = outputs[EVIDENCE]
            if own.shape != (1, *own.shape[1:3], len(logits)) or not own.size or not np.isfinite(own).all():
                raise ProtocolError("stage.wrong_output", wanted=f"{EVIDENCE} [1, h, w, {len(logits)}]")
            return explanation.given(own[0], logits)
        if head not in self._linear:
            self._linear[head] = self._read_linear_map(head)
        linear = self._linear[head]
        return None if linear is None else explanation.locate(linear, outputs, logits, manifest.input.edge_px)

    def _read_linear_map(self, sha256: str) -> LinearMap | None:
        """The weights of a head that takes pooled features [1, channels]; None for any other stage."""
        runner = StageRunner(self._path_of(sha256), self._threads)  # its own: reading changes the shapes of its inputs
        if LOGITS not in runner.outputs or any(len(shape) != 2 for shape in runner.inputs.values()):
            return None
        channels = {name: int(shape[1]) for name, shape in runner.inputs.items()}
        try:
            return explanation.read_linear_map(lambda inputs: runner.run(inputs)[LOGITS], channels)
        except ProtocolError:  # it takes one picture at a time only
            return None

    def _outputs(self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]) -> Tensors:
        """The named outputs of all stages, from ``memo`` where the same chain of stages ran before."""
        available = dict(self.first_stage(manifest, pixels, memo))
        chain = manifest.stages[0].sha256
        for stage in manifest.stages[1:]:
            chain += f"/{stage.sha256}"
            if chain not in memo:
                memo[chain] = self._runner(stage.sha256).run(_pick(available, stage.inputs))
            available |= memo[chain]
        return available

    def first_stage(self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]) -> Tensors:
        """The outputs of the stage that sees the image, from ``memo`` where it ran before."""
        sha256 = manifest.stages[0].sha256
        if sha256 not in memo:
            runner = self._runner(sha256)
            memo[sha256] = runner.run({next(iter(runner.inputs)): pixels})
        return memo[sha256]

    def residuals(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Residuals | None:
        """How unlike the training images the picture is; None where the model has no statistics. Arguments as ``logits``.

        Raises:
            ProtocolError: ``stage.*``, or ``manifest.malformed`` for a damaged artifact.
        """
        if manifest.novelty is None:
            return None
        sha256 = manifest.novelty.sha256
        if sha256 not in self._novelty:
            self._novelty[sha256] = NoveltyStatistics.from_bytes(self._path_of(sha256).read_bytes())
        outputs = _pick(self.first_stage(manifest, pixels, memo), manifest.novelty.inputs)
        features = np.concatenate([values.ravel() for values in outputs.values()])
        return self._novelty[sha256].measure(features, pixels, manifest.input)

    def _runner(self, sha256: str) -> StageRunner:
        if sha256 not in self._runners:
            self._runners[sha256] = StageRunner(self._path_of(sha256), self._threads)
        return self._runners[sha256]


def _logits(manifest: ReleaseManifest, outputs: Tensors) -> NDArray[np.float32]:
    """The logits [labels], checked."""
    result = outputs.get(LOGITS)
    if result is None or result.shape != (1, len(manifest.labels)) or not np.isfinite(result).all():
        raise ProtocolError("stage.wrong_output", wanted=f"{LOGITS} [1, {len(manifest.labels)}]")
    return np.asarray(result[0], dtype=np.float32)


def _pick(available: Tensors, names: tuple[str, ...]) -> Tensors:
    if missing := [n for n in names if n not in available]:
        raise ProtocolError("stage.wrong_output", wanted=missing[0])
    return {n: available[n] for n in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT's greeting, written by C++ straight to descriptor 2, out of the command's stderr."""
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
