"""The rungs on the trunk's maps: which spatial heads each effort tries, and their answers for unseen groups."""

from __future__ import annotations

from coordinator.training.spatial.config import SpatialConfig

# From light to heavy. No figure here was chosen on one data set: docs/adr/0025.
_SMALL = SpatialConfig(width=24)
_USUAL = SpatialConfig()
CONFIGS: dict[str, tuple[SpatialConfig, ...]] = {"quick": (), "standard": (_SMALL, _USUAL), "full": (_SMALL, _USUAL)}
MOST = {"quick": 0, "standard": 1, "full": 2}  # how many an effort trains: the largest that keep to the budget
REPEATS = {"quick": 0, "standard": 1, "full": 2}


def name(config: SpatialConfig) -> str:
    """How tables call a spatial head."""
    parts = "+".join(config.maps)
    members = f" x{config.members}" if config.members > 1 else ""
    return f"spatial head {parts}, {config.width} channels{members}"


def within(effort: str, budget_bytes: int, labels: int) -> tuple[SpatialConfig, ...]:
    """The spatial heads that an effort tries within a budget, from light to heavy."""
    fitting = [c for c in CONFIGS[effort] if c.estimated_bytes(labels) <= budget_bytes]
    return tuple(fitting[-MOST[effort] :]) if MOST[effort] else ()
