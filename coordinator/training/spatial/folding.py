"""The standardisation of a spatial head's channels, folded into its weights for export and taken out again for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from protocols.spatial.shape import SpatialShape

Arrays = dict[str, NDArray[np.float32]]
_MEAN, _DEVIATION = "moments/mean/", "moments/deviation/"


@dataclass(frozen=True)
class Moments:
    """Mean and deviation of each channel over the images that each head is fitted on, float32 [heads, channels], by layer."""

    mean: Arrays
    deviation: Arrays


def folded(shape: SpatialShape, weights: Arrays, known: Moments) -> Arrays:
    """Weights with the standardisation folded in, for export."""
    result = dict(weights)
    for layer in shape.maps:
        kernel = weights[f"{layer}/reduce"] / known.deviation[layer][..., np.newaxis]
        shift = (known.mean[layer][..., np.newaxis] * kernel).sum(axis=1)
        result[f"{layer}/reduce"], result[f"{layer}/reduce_bias"] = kernel, weights[f"{layer}/reduce_bias"] - shift
    return result


def unfolded(shape: SpatialShape, weights: Arrays, known: Moments) -> Arrays:
    """The reverse of ``folded``."""
    result = dict(weights)
    for layer in shape.maps:
        kernel = weights[f"{layer}/reduce"]
        shift = (known.mean[layer][..., np.newaxis] * kernel).sum(axis=1)
        result[f"{layer}/reduce"] = kernel * known.deviation[layer][..., np.newaxis]
        result[f"{layer}/reduce_bias"] = weights[f"{layer}/reduce_bias"] + shift
    return result


def write(file: IO[bytes], weights: Arrays, known: Moments) -> None:
    """Keep folded weights and the moments that are folded in."""
    arrays = {
        **weights,
        **{_MEAN + layer: value for layer, value in known.mean.items()},
        **{_DEVIATION + layer: value for layer, value in known.deviation.items()},
    }
    np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs think of its own option


def read(source: Path | IO[bytes]) -> tuple[Arrays, Moments]:
    """Read ``write``."""
    with np.load(source, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    mean, deviation = (
        {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
        for start in (_MEAN, _DEVIATION)
    )
    return {n: v for n, v in arrays.items() if not n.startswith("moments/")}, Moments(mean, deviation)
