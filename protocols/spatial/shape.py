"""The shape of a spatial head: which maps it reads, and what its weights look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Layer = Literal["mixed4", "mixed7"]
Pool = Literal["average", "maximum", "attention"]


@dataclass(frozen=True)
class SpatialShape:
    """A spatial head without its weights.

    Attributes:
        maps: the trunk's layers that are read; all have the same locations.
        width: channels after the first 1×1 convolution of each map, of each member.
        depth: how many times a 3×3 depthwise and a 1×1 convolution follow.
        residual: whether each of those blocks is added to what it reads.
        pooling: how locations become features.
        members: networks whose logits are averaged, in one file.
    """

    maps: tuple[Layer, ...] = ("mixed4", "mixed7")
    width: int = 64
    depth: int = 1
    residual: bool = True
    pooling: tuple[Pool, ...] = ("average", "maximum")
    members: int = 1

    def __post_init__(self) -> None:
        if not self.maps or not set(self.maps) <= set(get_args(Layer)) or len(set(self.maps)) < len(self.maps):
            raise ValueError(f"maps are among {get_args(Layer)}")
        if (
            not self.pooling
            or not set(self.pooling) <= set(get_args(Pool))
            or len(set(self.pooling)) < len(self.pooling)
        ):
            raise ValueError(f"pools are among {get_args(Pool)}")
        if min(self.width, self.depth, self.members) < 1:
            raise ValueError("sizes are positive")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The trunk's outputs that the head file takes."""
        return tuple(f"{layer}_map" for layer in self.maps)

    @property
    def features(self) -> int:
        """Pooled features of a member."""
        return len(self.maps) * len(self.pooling) * self.width

    @property
    def plain(self) -> SpatialShape:
        """The shape alone, of what may be more."""
        return SpatialShape(self.maps, self.width, self.depth, self.residual, self.pooling, self.members)

    def body(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights before the answer, as stacked over the members."""
        found: dict[str, tuple[int, ...]] = {}
        for layer in self.maps:
            found[f"{layer}/reduce"] = (self.members, channels, self.width)
            found[f"{layer}/reduce_bias"] = (self.members, self.width)
            for block in range(self.depth):
                found[f"{layer}/{block}/around"] = (self.members, 3, 3, self.width)
                found[f"{layer}/{block}/around_bias"] = (self.members, self.width)
                found[f"{layer}/{block}/mix"] = (self.members, self.width, self.width)
                found[f"{layer}/{block}/mix_bias"] = (self.members, self.width)
            if "attention" in self.pooling:
                found[f"{layer}/attention"] = (self.members, self.width)
        return found
