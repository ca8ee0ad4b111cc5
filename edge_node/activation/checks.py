"""What must agree before a release may run here. Pure."""

from __future__ import annotations

from edge_node.errors import ReleaseRefusedError
from edge_node.transfer.catalogue import CatalogueRelease
from protocols.manifest import ReleaseManifest


def check_as_listed(manifest: ReleaseManifest, listed: CatalogueRelease) -> None:
    """Refuse a manifest that is not what the catalogue offered, file for file.

    Raises:
        ReleaseRefusedError: ``edge.release_not_as_listed``.
    """
    for field in ("disease", "model", "version"):
        if getattr(manifest, field) != getattr(listed, field):
            raise ReleaseRefusedError("edge.release_not_as_listed", release=listed.name, field=field)
    sizes = {a.sha256: a.size_bytes for a in listed.artifacts}
    if {a.sha256: a.size_bytes for a in manifest.artifacts} != sizes:
        raise ReleaseRefusedError("edge.release_not_as_listed", release=listed.name, field="artifacts")


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
