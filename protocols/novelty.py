"""How unlike the training images a picture is: what is left of it outside the subspace that they span.

Two subspaces, both from principal component analysis of training images: ``appearance`` over pooled trunk features, and
``layout`` over an 8 x 8 thumbnail with brightness and contrast taken out. A picture of another kind leaves a large
residual in the first. A blurred or badly exposed picture of the right kind does too, but keeps its layout; that is how the
two are told apart. Pure arithmetic; the file holds int8 axes and float16 statistics, no code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError
from protocols.imaging import InputSpec

LAYOUT_EDGE = 8
MAX_BYTES = 1_000_000
_MAGIC = b"MMNV\x01"
_SHAPE = struct.Struct(">HH")  # features, axes
_FLATTEST = 0.02  # of full scale: below this contrast a thumbnail is noise


@dataclass(frozen=True)
class Subspace:
    """Principal axes of standardised features.

    Attributes:
        mean: float32 [features].
        scale: float32 [features], positive.
        axes: float32 [features, axes], orthonormal columns.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    axes: NDArray[np.float32]

    def stored(self) -> Subspace:
        """The same as nodes will read it, rounded; limits must be found with this one."""
        return _read(_Cursor(self.to_bytes()))

    def residual(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean square of what the axes leave over, [images] for float32 [images, features]; about 1 for training images."""
        standard = ((features - self.mean) / self.scale).astype(np.float64)
        inside = standard @ self.axes.astype(np.float64)
        left = np.square(standard).sum(axis=1) - np.square(inside).sum(axis=1)
        return np.asarray(np.maximum(left, 0.0) / standard.shape[1])

    def to_bytes(self) -> bytes:
        """The stored form."""
        largest = np.abs(self.axes).max(axis=0)
        quantised = np.rint(self.axes / largest * 127).astype(np.int8)
        parts = (self.mean.astype(">f2"), self.scale.astype(">f2"), quantised)
        return _SHAPE.pack(*self.axes.shape) + b"".join(part.tobytes() for part in parts)


@dataclass(frozen=True)
class Residuals:
    """What one picture leaves over in each subspace."""

    appearance: float
    layout: float


@dataclass(frozen=True)
class NoveltyStatistics:
    """The artifact: both subspaces."""

    appearance: Subspace
    layout: Subspace

    def to_bytes(self) -> bytes:
        """The artifact's bytes."""
        return _MAGIC + self.appearance.to_bytes() + self.layout.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> NoveltyStatistics:
        """Read an artifact.

        Raises:
            ProtocolError: ``manifest.malformed`` where it is none.
        """
        if data[: len(_MAGIC)] != _MAGIC or len(data) > MAX_BYTES:
            raise ProtocolError("manifest.malformed", field="novelty")
        cursor = _Cursor(data[len(_MAGIC) :])
        statistics = cls(_read(cursor), _read(cursor))
        if cursor.rest or len(statistics.layout.mean) != 3 * LAYOUT_EDGE**2:
            raise ProtocolError("manifest.malformed", field="novelty")
        return statistics

    def measure(self, features: NDArray[np.float32], pixels: NDArray[np.float32], spec: InputSpec) -> Residuals:
        """Measure one picture.

        Args:
            features: float32 [features], the pooled outputs in the manifest's order, one after the other.
            pixels: the prepared input [1, edge, edge, 3].
            spec: of the input.

        Raises:
            ProtocolError: ``stage.wrong_output`` where the trunk gives other features.
        """
        if len(features) != len(self.appearance.mean):
            raise ProtocolError("stage.wrong_output", wanted=f"{len(self.appearance.mean)} features")
        return Residuals(
            float(self.appearance.residual(features[np.newaxis])[0]),
            float(self.layout.residual(thumbnail(pixels, spec)[np.newaxis])[0]),
        )


def thumbnail(pixels: NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """8 x 8 block means of the prepared input, float32 [192], with zero mean and unit contrast."""
    low, high = spec.value_range
    side = spec.edge_px // LAYOUT_EDGE
    inner = pixels[0, : side * LAYOUT_EDGE, : side * LAYOUT_EDGE]
    rows = inner.reshape(LAYOUT_EDGE, side, -1).mean(axis=1)  # axis by axis is twenty times as fast as both at once
    blocks = rows.reshape(LAYOUT_EDGE, LAYOUT_EDGE, side, 3).mean(axis=2)
    flat = ((blocks - low) / (high - low)).ravel()
    return np.asarray((flat - flat.mean()) / (flat.std() + _FLATTEST), dtype=np.float32)


class _Cursor:
    """The bytes that are still to be read."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, count: int) -> bytes:
        if len(self.rest) < count:
            raise ProtocolError("manifest.malformed", field="novelty")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


def _read(cursor: _Cursor) -> Subspace:
    features, count = _SHAPE.unpack(cursor.take(_SHAPE.size))
    mean = np.frombuffer(cursor.take(2 * features), ">f2").astype(np.float32)
    scale = np.frombuffer(cursor.take(2 * features), ">f2").astype(np.float32)
    stored = np.frombuffer(cursor.take(features * count), np.int8).reshape(features, count)
    if not 0 < count <= features or not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ProtocolError("manifest.malformed", field="novelty")
    axes, triangle = np.linalg.qr(stored.astype(np.float32))  # rounding has bent them a little
    if (np.abs(np.diag(triangle)) < 1e-3).any():
        raise ProtocolError("manifest.malformed", field="novelty")
    return Subspace(mean, scale, np.asarray(axes, dtype=np.float32))
