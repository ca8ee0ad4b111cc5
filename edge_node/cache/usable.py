"""The installed releases that may run, with every file that running them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.choice import choose_installed
from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError
from protocols.manifest import ReleaseManifest


@dataclass(frozen=True)
class Usable:
    """What may run, and why the rest of what was asked for may not."""

    manifests: list[ReleaseManifest]
    revoked: list[EdgeError]


async def usable_releases(
    store: CacheStore, artifacts: ArtifactCache, revoked: Mapping[str, str], disease: str | None, model: str | None
) -> Usable:
    """The release of a disease's model, or the active ones of all diseases, verified.

    Args:
        store, artifacts: the cache.
        revoked: why, by release.
        disease, model: as for ``choose_installed``; without a disease all active releases.

    Raises:
        EdgeError: none is here, all are revoked, or a file is damaged.
        ProtocolError: ``release.bad_name``.
    """
    installed = await store.installed()
    if disease is not None:
        chosen = [choose_installed(installed, disease, model)]
    elif not (chosen := [release for release in installed if release.active]):
        raise EdgeError("edge.nothing_installed")
    refusals = [
        EdgeError("release.revoked", release=r.name, reason=revoked[r.name]) for r in chosen if r.name in revoked
    ]
    if len(refusals) == len(chosen):
        raise refusals[0]
    manifests = []
    for release in (r for r in chosen if r.name not in revoked):
        await artifacts.require([release.manifest])
        manifest = ReleaseManifest.from_bytes(artifacts.path(release.manifest.sha256).read_bytes())
        await artifacts.require(manifest.needed_to_run)
        manifests.append(manifest)
    return Usable(manifests, refusals)
