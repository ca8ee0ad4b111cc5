"""Which releases go when the cache is to become smaller. Pure.

What goes first: previous versions, those of the model that was used longest ago before others; then, in the same order, the
versions in use. Pinned models and the model that was used last stay whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_node.cache.releases import InstalledRelease
from edge_node.errors import LimitError
from protocols.artifacts import Artifact

ModelKey = tuple[str, str]


@dataclass(frozen=True)
class Eviction:
    """What goes, in this order, and what is left then; ``bytes_left`` is more than the quota if that cannot be met."""

    releases: tuple[InstalledRelease, ...]
    bytes_left: int


def evict(
    installed: Sequence[InstalledRelease],
    pins: Collection[ModelKey],
    last_used: Mapping[tuple[str, str, int], datetime],
    others: Collection[Artifact],
    quota_bytes: int,
    keep: Collection[ModelKey] = (),
) -> Eviction:
    """Choose what goes until the rest fits; as little as that order allows.

    Args:
        installed: the releases as they are to be, also those that are only about to come.
        pins: models that stay.
        last_used: by (disease, model, version); a release that was never used counts from its installation.
        others: files in the cache that stay and belong to no release.
        quota_bytes: the most that may be left.
        keep: models that stay this time. Where there are none, the one used last stays.
    """
    used = _used(installed, last_used)
    stay = {*pins, *(keep or _latest(used))}
    left = list(installed)
    gone: list[InstalledRelease] = []
    candidates = [r for r in installed if (r.disease, r.model) not in stay]
    candidates.sort(key=lambda r: (r.active, used[r.disease, r.model], r.disease, r.model))
    for release in candidates:
        if _bytes(left, others) <= quota_bytes:
            break
        left.remove(release)
        gone.append(release)
    return Eviction(tuple(gone), _bytes(left, others))


def require_fit(eviction: Eviction, quota_bytes: int) -> None:
    """Make sure that the quota is met.

    Raises:
        LimitError: ``edge.quota``.
    """
    if eviction.bytes_left > quota_bytes:
        least, quota = (f"{size / 1_000_000:.1f}" for size in (eviction.bytes_left, quota_bytes))
        raise LimitError("edge.quota", least_mb=least, quota_mb=quota)


def _used(
    installed: Sequence[InstalledRelease], last_used: Mapping[tuple[str, str, int], datetime]
) -> dict[ModelKey, datetime]:
    """When each model was last used, in whatever version."""
    found: dict[ModelKey, datetime] = {}
    for r in installed:
        when = last_used.get((r.disease, r.model, r.version), r.installed)
        key = (r.disease, r.model)
        found[key] = max(when, found.get(key, when))
    return found


def _latest(used: Mapping[ModelKey, datetime]) -> set[ModelKey]:
    return {max(used, key=lambda key: used[key])} if used else set()


def _bytes(releases: Sequence[InstalledRelease], others: Collection[Artifact]) -> int:
    """What files take up that stand once, however many releases share them."""
    sizes = {a.sha256: a.size_bytes for r in releases for a in r.files} | {a.sha256: a.size_bytes for a in others}
    return sum(sizes.values())
