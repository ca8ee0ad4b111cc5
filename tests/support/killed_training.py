"""The training loop with a small network in NumPy in place of TensorFlow's: ``python -m … JOBFOLDER PAUSE``; to be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training.spatial.child import result_path, train_run
from coordinator.training.spatial.job import Job
from coordinator.training.spatial.maps import MapReader


class SmallHeads:
    """Softmax regression on averaged maps by gradient descent with momentum; the interface of ``network.Heads``."""

    def __init__(self, heads: int, channels: int, labels: int, pause_s: float = 0.0) -> None:
        self._weight = np.zeros((heads, channels, labels), np.float32)
        self._speed = np.zeros_like(self._weight)
        self._pause_s = pause_s

    def weights(self) -> dict[str, NDArray[np.float32]]:
        return {"answer": self._weight.copy()}

    def state(self) -> list[NDArray[Any]]:
        return [self._weight.copy(), self._speed.copy()]

    def restore(self, state: list[NDArray[Any]]) -> None:
        self._weight, self._speed = (s.copy() for s in state)

    def replace(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._weight = weights["answer"].copy()

    def step(self, maps: Any, targets: NDArray[np.float32], weights: NDArray[np.float32], seed: int) -> float:
        time.sleep(self._pause_s)
        pooled = _pooled(maps)
        dropped = pooled * (np.random.default_rng(seed).random(pooled.shape) > 0.3)
        error = (_softmax(dropped @ self._weight) - targets) * weights[..., np.newaxis]
        self._speed = 0.9 * self._speed - 0.05 * np.einsum("bc,kbl->kcl", dropped, error).astype(np.float32)
        self._weight = self._weight + self._speed
        return float(np.abs(error).sum())

    def logits(self, reader: MapReader, images: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(_pooled({"mixed4": reader.read("mixed4", images)}) @ self._weight, dtype=np.float32)


def _pooled(maps: Any) -> NDArray[np.float32]:
    levels, scales = maps["mixed4"]
    return np.asarray(levels.mean(axis=(1, 2)) * scales, dtype=np.float32)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(powers / powers.sum(axis=2, keepdims=True), dtype=np.float32)


def main(folder: Path, pause_s: float) -> None:
    job = Job.load(folder)
    run, reader = job.runs[0], MapReader(job.maps)
    heads = SmallHeads(len(run.seeds), job.maps.shape[2], job.classes, pause_s)

    def tell(epoch: int) -> None:
        sys.stdout.write(f"{epoch}\n")
        sys.stdout.flush()

    train_run(job, run, heads, reader, folder / "checkpoint", tell)  # type: ignore[arg-type]
    np.save(result_path(folder, 0), heads.logits(reader, np.arange(job.maps.images)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
