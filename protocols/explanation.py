"""Where in a picture a model's evidence lies: each location's share of every logit. Pure arithmetic.

A head that is linear in pooled features can be taken apart exactly. An average is a sum over locations; a maximum belongs
to the location where the map reaches it. What has no map in the trunk has no place either and is spread evenly. The parts
of all locations and the bias add up to the logits (class activation mapping, Zhou et al. 2016, for several depths at
once). A head that locates its evidence itself has an output of its own for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EVIDENCE = "evidence"  # the output of a head that locates its evidence itself, [1, h, w, labels]
_ROWS = 128  # rows of an identity matrix in one run; more at once is slower
_SIGMAS = 3.0
_SLACK = 0.01  # logits; float16 and the order of sums

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Evidence:
    """One picture's logits, taken apart: ``grid`` summed over the locations, plus ``bias``.

    Attributes:
        grid: float32 [h, w, labels], as the model saw the picture, top left first.
        bias: float32 [labels], what the model adds to every picture.
    """

    grid: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class LinearMap:
    """A head's weights as the head itself computes with them.

    Attributes:
        weights: for each input float32 [channels, labels].
        bias: float32 [labels].
    """

    weights: dict[str, NDArray[np.float32]]
    bias: NDArray[np.float32]

    def tolerance(self, pooled: Arrays) -> NDArray[np.float32]:
        """How far the head's own logits [labels] may be from the map's, for inputs [1, channels].

        An int8 head rounds its inputs to 127 steps of their maximum; three times the deviation which that gives. A head that
        is not linear is further off.
        """
        variance = np.zeros_like(self.bias)
        for name, weights in self.weights.items():
            step = np.abs(pooled[name]).max() / 127
            variance += step**2 / 12 * np.square(weights).sum(axis=0)
        return np.asarray(_SLACK + _SIGMAS * np.sqrt(variance), dtype=np.float32)


def read_linear_map(
    run: Callable[[dict[str, NDArray[np.float32]]], NDArray[np.float32]], channels: Mapping[str, int]
) -> LinearMap | None:
    """Read a linear head's weights off by putting identity matrices through it.

    Args:
        run: the head, from inputs [rows, channels] to logits [rows, labels].
        channels: of each input.

    Returns:
        None where the head does not take rows apart.
    """
    silent = {name: np.zeros((_ROWS, count), dtype=np.float32) for name, count in channels.items()}
    nothing = run(silent)
    if nothing.ndim != 2 or len(nothing) != _ROWS:
        return None
    weights = {}
    for name, count in channels.items():
        blocks = []
        for start in range(0, count, _ROWS):
            rows = np.eye(_ROWS, count, start, dtype=np.float32)
            blocks.append(run({**silent, name: rows}) - nothing)
        weights[name] = np.concatenate(blocks)[:count]
    return LinearMap(weights, nothing[0])


def locate(head: LinearMap, outputs: Arrays, logits: NDArray[np.float32], edge_px: int) -> Evidence | None:
    """Take the logits of one picture apart.

    Args:
        head: the linear head; its inputs are called ``<layer>_avg`` or ``<layer>_max``.
        outputs: what the stages gave, the head's inputs [1, channels] and the maps ``<layer>_map`` [1, h, w, channels].
        logits: [labels], the head's own.
        edge_px: side of the input.

    Returns:
        None where no input has a map, or the parts do not add up to the logits.
    """
    nowhere = np.zeros_like(head.bias)
    grids: list[NDArray[np.float32]] = []
    for name, weights in head.weights.items():
        layer, _, pool = name.rpartition("_")
        activation = outputs.get(f"{layer}_map")
        if activation is None or pool not in ("avg", "max") or activation.shape[3:] != weights.shape[:1]:
            nowhere += outputs[name][0] @ weights
            continue
        cells = activation.reshape(-1, len(weights))
        shares = cells / len(cells) if pool == "avg" else _at_maximum(cells)
        grid = np.asarray(shares @ weights, dtype=np.float32)
        grids.append(grid.reshape(*activation.shape[1:3], -1))
    if not grids:
        return None
    height, width = (max(grid.shape[axis] for grid in grids) for axis in (0, 1))
    located = np.sum([_regrid(grid, height, width, edge_px) for grid in grids], axis=0)
    grid = np.asarray(located + nowhere / (height * width), dtype=np.float32)
    apart = np.abs(grid.sum(axis=(0, 1)) + head.bias - logits)
    return Evidence(grid, head.bias) if (apart <= head.tolerance(outputs)).all() else None


def _at_maximum(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each channel's maximum at the locations where it is reached, in equal parts; [locations, channels] as given."""
    highest = cells.max(axis=0)
    reached = cells == highest
    return np.asarray(reached * (highest / reached.sum(axis=0, dtype=np.float32)), dtype=np.float32)


def given(evidence: NDArray[np.float32], logits: NDArray[np.float32]) -> Evidence:
    """Evidence [h, w, labels] from a head that locates it itself; what it leaves of the logits [labels] is the bias."""
    return Evidence(evidence, np.asarray(logits - evidence.sum(axis=(0, 1)), dtype=np.float32))


def heat(evidence: Evidence, label: int) -> NDArray[np.float32]:
    """What speaks for a label against the mean of the others, float32 [h, w], 1 or -1 at the strongest location.

    The bias stands for the usual picture and is taken in evenly, so that a location counts as it differs from the usual;
    before scaling, all locations add up to the label's lead in logits. A map knows its places to about a cell: evidence is
    blurred by as much.
    """
    count = evidence.grid.shape[2]
    against = np.full(count, -1.0 / (count - 1), dtype=np.float32)
    against[label] = 1.0
    height, width = evidence.grid.shape[:2]
    lead = evidence.grid @ against + (evidence.bias @ against) / (height * width)
    blurred = _blur(_blur(lead).T).T
    return np.asarray(blurred / max(float(np.abs(blurred).max()), 1e-9), dtype=np.float32)


def _blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the first axis by 1-2-1, mirrored at the ends, so that the sum stays."""
    padded = np.pad(values, ((1, 1), (0, 0)), mode="symmetric")
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, dtype=np.float32)


def extent(edge_px: int, cells: int) -> tuple[float, float]:
    """Where the first of a map's ``cells`` begins and how wide one is, as shares of the input's side.

    Unpadded convolutions with strides of two leave a margin: InceptionV3's 17 cells at 299 px are 16 px wide, not 17.6,
    and lie in the middle.
    """
    stride = 2.0 ** np.floor(np.log2(edge_px / cells))
    return float((edge_px - stride * cells) / 2 / edge_px), float(stride / edge_px)


def _regrid(grid: NDArray[np.float32], height: int, width: int, edge_px: int) -> NDArray[np.float32]:
    """Share out the cells of a coarser grid among those that they cover in a finer one; the sum stays."""
    if grid.shape[:2] == (height, width):
        return grid
    rows, columns = _shares(edge_px, grid.shape[0], height), _shares(edge_px, grid.shape[1], width)
    return np.asarray(np.einsum("yi,xj,ijl->yxl", rows, columns, grid, optimize=True), dtype=np.float32)


def _shares(edge_px: int, coarse: int, fine: int) -> NDArray[np.float64]:
    """How much of each coarse cell goes to each fine one, float64 [fine, coarse]; columns sum to 1."""

    def borders(cells: int) -> NDArray[np.float64]:
        start, size = extent(edge_px, cells)
        return start + size * np.arange(cells + 1, dtype=np.float64)

    ours, theirs = borders(fine)[:, np.newaxis], borders(coarse)[np.newaxis, :]
    common = np.minimum(ours[1:], theirs[:, 1:]) - np.maximum(ours[:-1], theirs[:, :-1])
    overlap = np.maximum(common, 1e-9)  # a cell outside of all others goes everywhere
    return np.asarray(overlap / overlap.sum(axis=0), dtype=np.float64)
