"""``upstream …``: other networks, what they offer, and taking a release of theirs over."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator.audit.actor import Actor, acting
from coordinator.config import UpstreamConfig
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases.lifecycle import Releases
from coordinator.releases.models import Models
from coordinator.store.blobs import FolderBlobs
from coordinator.store.described import described
from coordinator.upstream import proof
from coordinator.upstream.adopt import adopted
from coordinator.upstream.fetch import fetch
from coordinator.upstream.record import Record, Seen, take_in
from coordinator.upstream.source import HttpsSource, Source
from coordinator.upstream.store import Upstream, UpstreamStore
from protocols.errors import MedMeshError
from protocols.manifest import ReleaseManifest, parse_release_name, slugify
from protocols.network import NetworkFile
from protocols.origin import KEY, Origin

if TYPE_CHECKING:
    from coordinator.upstream.repository import OtherRepository, SignedRelease

_log = logging.getLogger("medmesh.upstream")
_CHECK_S = 3600.0
_DAY = timedelta(days=1)
_SOON = timedelta(hours=1)  # after a refresh that failed

Evaluate = Callable[[ReleaseManifest], dict[str, Any]]
Clock = Callable[[], datetime]
Progress = Callable[[str, int, int], None]


class Upstreams:
    """Other networks."""

    def __init__(
        self,
        store: UpstreamStore,
        home: Home,
        config: UpstreamConfig,
        models: Models,
        releases: Releases,
        clock: Clock,
        source: Callable[[str, str | None], Source] = HttpsSource,
    ) -> None:
        """Args: source: opens an address with the authority to pin, if any."""
        self._store = store
        self._home = home
        self._config = config
        self._models = models
        self._releases = releases
        self._clock = clock
        self._source = source

    # --- networks ------------------------------------------------------------------------------------------------

    async def add(self, url: str | None, file: NetworkFile, name: str | None) -> dict[str, Any]:
        """Verify a network against its root and add it; where that fails, nothing is kept.

        Raises:
            CoordinatorError: ``upstream.*``.
        """
        address = url or next(iter(file.urls), None)
        slug = slugify(name or file.name or "")
        if address is None or not slug:
            raise CoordinatorError("upstream.incomplete")
        if any(known.name == slug for known in await self._store.all()):
            raise CoordinatorError("upstream.exists", name=slug)
        source = self._source(address, file.ca_pem)
        folder = self._folder(slug)
        shutil.rmtree(folder, ignore_errors=True)  # of a network that was removed
        try:
            record = await asyncio.to_thread(self._verify, slug, file, source, None)
            await self._store.add(slug, address, file, record, self._clock())
        except MedMeshError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return await self.show(slug)

    async def list(self) -> list[dict[str, Any]]:
        """All networks."""
        return [self._document(upstream) for upstream in await self._store.all()]

    async def show(self, name: str) -> dict[str, Any]:
        """One network: what it offers, what was taken over, and what it revoked of that."""
        upstream = await self._store.get(name)
        revocations = await self._store.revocations()
        taken = [
            {"model": c.model, "release": c.release, "revoked": revocations.get(c.model)}
            for c in await self._store.copied(name)
        ]
        record = upstream.record
        offered = []
        for model in record.rollout.models if record is not None else ():
            offered += [
                {"disease": model.disease, "release": offer.release, "percent": offer.percent, "paused": model.paused}
                for offer in model.offers
            ]
        revoked = [] if record is None else [{"release": r, "reason": w} for r, w in record.revoked.items()]
        return {**self._document(upstream), "releases": offered, "revoked": revoked, "taken": taken}

    async def remove(self, name: str) -> dict[str, Any]:
        """Forget a network; versions that came from it stay, and nobody hears of their revocation any more."""
        upstream = await self._store.get(name)
        copied = [c.model for c in await self._store.copied(name)]
        await self._store.remove(name, self._clock())
        shutil.rmtree(self._folder(name), ignore_errors=True)
        return {**self._document(upstream), "orphans": copied}

    async def refresh(self, name: str) -> dict[str, Any]:
        """Verify a network's present state, and act on what it revoked.

        Raises:
            CoordinatorError: ``upstream.*``: what was verified before stays in force.
        """
        upstream = await self._store.get(name)
        await self._refreshed(upstream)
        return await self.show(name)

    async def refresh_due(self) -> None:
        """Refresh every network that was not asked today; one that cannot be reached is asked again in an hour."""
        for upstream in await self._store.all():
            pause = _DAY if upstream.failure is None else _SOON
            if upstream.tried is None or self._clock() - upstream.tried >= pause:
                try:
                    await self._refreshed(upstream)
                except MedMeshError as error:
                    _log.warning("upstream %s: %s", upstream.name, error.code)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Refresh daily while the block lasts."""

        async def watch() -> None:
            while True:
                with suppress(OSError), acting(Actor("system", "upstream")):
                    await self.refresh_due()
                await asyncio.sleep(_CHECK_S)

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _refreshed(self, upstream: Upstream) -> Record:
        source = self._source(upstream.url, upstream.file.ca_pem)
        try:
            record = await asyncio.to_thread(self._verify, upstream.name, upstream.file, source, upstream.record)
        except MedMeshError as error:
            await self._store.failed(upstream.name, error.document("en")["error"], self._clock())
            raise
        await self._store.verified(upstream.name, record, self._clock())
        await self._act(upstream.name, record)
        return record

    def _verify(self, name: str, file: NetworkFile, source: Source, former: Record | None) -> Record:
        repository = self._repository(name, file, source)
        with repository.exclusive():
            return take_in(former, repository.refresh(), file.least_serial, self._clock())

    def _repository(self, name: str, file: NetworkFile, source: Source) -> OtherRepository:
        from coordinator.upstream.repository import OtherRepository  # with an HTTP client that few commands need

        return OtherRepository(self._folder(name) / "tuf", file.root, source)

    async def _act(self, name: str, record: Record) -> None:
        """Stop what rests on a release that its origin revoked: once for each version, so that a person may go on."""
        marked = await self._store.revocations()
        for copied in await self._store.copied(name):
            if copied.release not in record.revoked or copied.model in marked:
                continue
            reason = record.revoked[copied.release]
            act = await self._stop(copied.model, f"{name}: {reason}"[:500])
            await self._store.mark_revoked(name, copied.model, reason, act, self._clock())
            _log.warning("upstream %s revoked %s; %s here: %s", name, copied.release, copied.model, act)

    async def _stop(self, model: str, reason: str) -> str:
        try:
            if self._config.on_revocation == "withdraw":
                await self._releases.withdraw(model, reason, self._clock())
                return "withdrawn"
            if self._config.on_revocation == "pause":
                await self._releases.pause(model, self._clock())
                return "paused"
        except CoordinatorError as error:
            if error.code not in ("release.unknown", "release.wrong_state"):
                raise
        return "none"

    # --- taking over ---------------------------------------------------------------------------------------------

    async def pull(
        self,
        release: str,
        name: str | None,
        as_model: str | None,
        entries: frozenset[str],
        evaluate: Evaluate | None,
        progress: Progress = lambda _part, _done, _total: None,
    ) -> dict[str, Any]:
        """Verify, fetch, vet and evaluate a release, and make it a model version here. Where it is refused, nothing is left
        but what arrived of its files.

        Args:
            release: ``model@version``, or ``model`` for the newest.
            name: the network; None: the only one that offers it.
            as_model: the model's name here; None: as there.
            entries: of the knowledge base here.
            evaluate: measures it on local data; None: not measured, and the gates will say so.
            progress: called with a part, what is done of it, and its whole.

        Raises:
            CoordinatorError: ``upstream.*``, ``vetting.*`` or what ``evaluate`` refuses with.
        """
        upstream, disease, exact = await self._offering(release, name)
        source = self._source(upstream.url, upstream.file.ca_pem)
        record = await self._refreshed(upstream)
        if exact in record.revoked:
            raise CoordinatorError("upstream.revoked", release=exact, reason=record.revoked[exact])
        signed = await asyncio.to_thread(self._signed, upstream, record, source, disease, exact)
        manifest = ReleaseManifest.from_bytes(signed.data)
        if (manifest.disease, manifest.name) != (disease, exact):
            raise CoordinatorError("upstream.refused", detail=f"{manifest.disease} {manifest.name}")
        model = as_model or manifest.model
        await self._require_same_disease(model, disease)
        known = await self._store.stages()
        arriving = self._folder(upstream.name) / "arriving"
        blobs, fresh = FolderBlobs(self._home.artifacts), list[str]()

        def bring() -> dict[str, Any]:
            from coordinator.upstream.vet import vet

            files = fetch(manifest.artifacts, blobs, arriving, source, lambda d, t: progress("fetching", d, t))
            report = vet(manifest, signed.data, files, known, self._home.vetting, lambda d, t: progress("trying", d, t))
            for artifact in manifest.artifacts:
                if not blobs.has(artifact.sha256):
                    fresh.append(blobs.put(files[artifact.sha256].read_bytes()))
                described(artifact.role, artifact.sha256, blobs)
            return report

        report = await asyncio.to_thread(bring)
        try:
            evaluation = None if evaluate is None else await asyncio.to_thread(evaluate, manifest)
        except BaseException:
            for sha256 in fresh:  # files of nobody are not to be served
                blobs.remove(sha256)
            raise
        document = await self._record(upstream, signed, manifest, model, entries, report, evaluation)
        shutil.rmtree(arriving, ignore_errors=True)
        return document

    async def _record(
        self,
        upstream: Upstream,
        signed: SignedRelease,
        manifest: ReleaseManifest,
        model: str,
        entries: frozenset[str],
        report: dict[str, Any],
        evaluation: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Store the proof, then the row that makes it a model; killed between them, an unnamed file is all that is left."""
        packed = proof.pack(signed)
        origin = Origin(
            network=upstream.file.name or upstream.name,
            release=manifest.name,
            disease=manifest.disease,
            root=_root_sha256(signed),
            manifest=signed.sha256,
            proof=FolderBlobs(self._home.artifacts).put(packed),
            approvers=signed.approvers,
        )
        proof.verified(packed, origin)
        version = await self._models.next_version(model)
        local = adopted(manifest, origin, model, version, entries, evaluation, self._clock())
        document = {
            "model": local.model,
            "version": local.version,
            "dataset": "",
            KEY: {**origin.document(), "upstream": upstream.name, "evaluation": evaluation},
            "vetting": report,
            "metrics": local.metrics,
            "artifacts": [a.document() for a in local.artifacts],
            "unmapped": [x.label for x in local.labels if x.entry is None and x.kind != "normal"],
        }
        await self._models.add(local, document, "upstream.pull")
        return document

    async def _offering(self, release: str, name: str | None) -> tuple[Upstream, str, str]:
        """The network, the disease and the exact release that are meant."""
        model, version = parse_release_name(release)
        found: list[tuple[Upstream, str, str]] = []
        for upstream in await self._store.all():
            if upstream.record is None or name not in (None, upstream.name):
                continue
            for listed in upstream.record.rollout.models:
                offers = [o.release for o in listed.offers if listed.model == model]
                wanted = offers[:1] if version is None else [o for o in offers if o == release]
                found += [(upstream, listed.disease, exact) for exact in wanted]
        if name is not None:
            await self._store.get(name)
        if not found:
            raise CoordinatorError("upstream.not_offered", release=release)
        if len(found) > 1:
            raise CoordinatorError("upstream.several", release=release, names=", ".join(u.name for u, _, _ in found))
        return found[0]

    def _signed(self, upstream: Upstream, record: Record, source: Source, disease: str, release: str) -> SignedRelease:
        repository = self._repository(upstream.name, upstream.file, source)
        with repository.exclusive():
            seen: Seen = repository.refresh()
            take_in(record, seen, upstream.file.least_serial, self._clock())
            return repository.release(disease, release, record.time_floor)

    async def _require_same_disease(self, model: str, disease: str) -> None:
        for row in await self._models.list():
            if row["model"] == model and row["disease"] != disease:
                raise CoordinatorError("dataset.other_disease", name=model, disease=row["disease"])

    def _folder(self, name: str) -> Path:
        return self._home.upstreams / name

    def _document(self, upstream: Upstream) -> dict[str, Any]:
        record = upstream.record
        return {
            "upstream": upstream.name,
            "network": upstream.file.name or upstream.name,
            "url": upstream.url,
            "root_sha256": hashlib.sha256(upstream.file.root).hexdigest(),
            "ca_pinned": upstream.file.ca_pem is not None,
            "added": upstream.added.isoformat(timespec="seconds"),
            "verified": None if record is None else record.verified.isoformat(timespec="seconds"),
            "serial": None if record is None else record.rollout.serial,
            "error": upstream.failure,
        }


def _root_sha256(signed: SignedRelease) -> str:
    return hashlib.sha256(signed.metadata["root"][0]).hexdigest()
