"""What must agree before a release may run here. Pure."""

from __future__ import annotations

from edge_node.errors import ReleaseRefusedError
from protocols.manifest import ReleaseManifest


def check_node_version(manifest: ReleaseManifest, have: str) -> None:
    """Refuse a release that needs a newer program.

    Raises:
        ReleaseRefusedError: ``manifest.node_too_old``.
    """
    if _numbers(have) < _numbers(manifest.least_node_version):
        raise ReleaseRefusedError("manifest.node_too_old", wanted=manifest.least_node_version, have=have)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in version.split("."))
    return numbers + (0,) * (4 - len(numbers))
