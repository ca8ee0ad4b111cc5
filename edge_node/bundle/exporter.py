"""What of the coordinator's list goes on a stick: the signed files, and the artifacts of the chosen diseases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from edge_node.bundle import contents
from edge_node.bundle.gather import Gatherer
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError, SourceError
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.trust.bridge import SignedOrigin
from edge_node.trust.catalogue import read_knowledge
from edge_node.trust.feed import CatalogueFeed
from protocols import bundle
from protocols.artifacts import Artifact
from protocols.chunks import list_of
from protocols.clock import Clock
from protocols.errors import MedMeshError, ProtocolError
from protocols.manifest import ReleaseManifest
from protocols.trust import KNOWLEDGE, Rollout

Lock = Callable[[], AbstractAsyncContextManager[None]]
Progress = Callable[[int], None]


@dataclass
class ListPart:
    """What a bundle carries of the list.

    Attributes:
        files: signed files by their names in the bundle.
        artifacts: files of releases, each once, and where they stand.
        releases: whole in the bundle.
        missing: what could not be had.
        serial: of the list; None: no list is carried.
        versions: of root and timestamp; 0: no list is carried.
        failure: why the list is not the coordinator's present one, or why none is carried.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, tuple[Artifact, Path]] = field(default_factory=dict)
    releases: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    serial: int | None = None
    versions: tuple[int, int] = (0, 0)
    failure: MedMeshError | None = None

    @property
    def models(self) -> list[str]:
        """The releases of models among ``releases``."""
        return [release for release in self.releases if not release.startswith(f"{KNOWLEDGE}@")]


class ListExporter:
    """Collects the list of one coordinator. The caller holds the node's lock until the bundle is written."""

    def __init__(
        self,
        feed: CatalogueFeed,
        origins: Sequence[SignedOrigin],
        store: CacheStore,
        cache: ArtifactCache,
        fetcher: ArtifactFetcher,
        folder: Path,
        trust_lock: Lock,
        clock: Clock,
    ) -> None:
        """Args: folder and trust_lock: of the TUF client."""
        self._feed = feed
        self._origins = origins
        self._store = store
        self._cache = cache
        self._fetcher = fetcher
        self._folder = folder
        self._trust_lock = trust_lock
        self._clock = clock

    async def collect(self, diseases: Collection[str], progress: Progress) -> ListPart:
        """Verify the newest list, and take what belongs to ``diseases`` from here or, with a line, from the coordinator.

        Args:
            diseases: whose releases are wanted; empty: those installed here.
            progress: called with the number of bytes that just arrived.

        Raises:
            EdgeError: ``edge.disease_unknown``.
        """
        part = ListPart()
        try:
            part.failure = (await self._feed.newest()).failure
        except MedMeshError as error:
            part.failure = error
            return part
        online = part.failure is None
        gatherer = Gatherer(self._origins if online else [], self._cache.path)
        await gatherer.metadata(self._folder, self._trust_lock)
        rollout = await gatherer.rollout()
        if rollout is None or contents.TIMESTAMP not in gatherer.files:
            part.failure = part.failure or SourceError("edge.metadata_missing", path=contents.TIMESTAMP)
            return part
        timestamp, expires = contents.timestamp_of(gatherer.files)
        if expires <= self._clock():
            return part  # no node would believe it any more; ``failure`` says why there is no newer one
        await self._take(part, gatherer, rollout, await self._chosen(rollout, diseases), progress if online else None)
        part.serial = rollout.serial
        part.versions = (contents.newest_root(gatherer.files), timestamp)
        return part

    async def _chosen(self, rollout: Rollout, diseases: Collection[str]) -> set[str]:
        known = {model.disease for model in rollout.models}
        for disease in diseases:
            if disease not in known:
                raise EdgeError("edge.disease_unknown", disease=disease, known=", ".join(sorted(known)) or "-")
        return set(diseases) or {release.disease for release in await self._store.installed()}

    async def _take(
        self, part: ListPart, gatherer: Gatherer, rollout: Rollout, diseases: set[str], progress: Progress | None
    ) -> None:
        """Fill ``part``. Manifests of other diseases come along where they are here: they are small, and list L is whole."""
        paths: list[str] = []
        if (document := contents.rollout_target(gatherer.files)) is not None:
            paths.append(document.path)
        for disease, release in [*contents.knowledge_release(rollout), *contents.offered(rollout)]:
            target = contents.release_target(gatherer.files, disease, release)
            if target is None:
                continue
            is_wanted = disease in diseases or disease == KNOWLEDGE
            data = await gatherer.target(target, fetch=is_wanted)
            if data is None:
                continue
            paths.append(target.path)
            if is_wanted:
                await self._take_artifacts(part, disease, release, data, progress)
        signed = contents.current(gatherer.files, paths)
        part.files = {bundle.TUF + path: data for path, data in signed.items() if bundle.is_name(bundle.TUF + path)}
        part.missing += gatherer.missing

    async def _take_artifacts(
        self, part: ListPart, disease: str, release: str, data: bytes, progress: Progress | None
    ) -> None:
        try:
            wanted = (
                [read_knowledge(data).artifact] if disease == KNOWLEDGE else ReleaseManifest.from_bytes(data).artifacts
            )
        except ProtocolError:
            part.missing.append(release)
            return
        is_whole = True
        for artifact in wanted:
            try:
                if not await self._cache.holds(artifact):
                    if progress is None:
                        raise SourceError("edge.artifact_missing", artifact=artifact.sha256[:12], url="-")
                    await self._fetcher.fetch(artifact, progress)
            except SourceError:
                is_whole = False
                part.missing.append(f"{release} {artifact.role}")
                continue
            part.artifacts[artifact.sha256] = (artifact, self._cache.path(artifact.sha256))
            chunks = list_of(artifact)  # with it nodes that are filled from the stick can share what they have
            if chunks is not None and await self._cache.holds(chunks):
                part.artifacts[chunks.sha256] = (chunks, self._cache.path(chunks.sha256))
        if is_whole:
            part.releases.append(release)
