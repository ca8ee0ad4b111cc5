"""Status, sync, neighbours, settings."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from edge_node import VERSION
from edge_node.errors import EdgeError
from edge_node.ui.values import DeviceReport, Membership, Neighbour, SetAside, Stored
from edge_node.ui.wiring.node import Adapter
from edge_node.ui.wiring.standing import freshness
from protocols.errors import MedMeshError

_LISTEN_S = 3.0
_MOST_PROBLEMS = 5


class EdgeDevice(Adapter):
    """Status, sync, neighbours, settings."""

    async def report(self) -> DeviceReport:
        """What this node is and holds."""
        return await self._run(self._report)

    async def _report(self) -> DeviceReport:
        from edge_node.outbox.unlock import KEY_FILE

        node, local = self._node, await self._node.local()
        version: str | None = None
        with suppress(MedMeshError):
            version = await (await node.knowledge()).version()
        installed = [release for release in await local.store.installed() if release.active]
        events, counts = await local.store.events(), await node.edge.outbox().counts()
        marks, pinned = await node.edge.quarantine(local).marks(), await local.store.pins()
        return DeviceReport(
            version=VERSION,
            membership=self._membership(),
            freshness=freshness(await node.standing()),
            bytes_stored=await asyncio.to_thread(local.artifacts.total_bytes),
            bytes_free=shutil.disk_usage(node.edge.paths.root).free,
            bytes_received=node.edge.traffic.document(),
            knowledge_version=version,
            stored=tuple(
                Stored(
                    r.disease, r.model, r.version, sum(a.size_bytes for a in r.files), (r.disease, r.model) in pinned
                )
                for r in installed
            ),
            problems=tuple(event.message for event in events[:_MOST_PROBLEMS]),
            set_aside=tuple(SetAside(mark.disease, mark.name, mark.since) for mark in marks),
            waiting=counts.queued,
            quota_mb=node.edge.config.cache_quota_mb,
            key_in_file=counts.key_place == KEY_FILE,
        )

    def _membership(self) -> Membership | None:
        from edge_node.identity.renewal import certificate_end

        try:
            identity = self._node.edge.identity()
            end: datetime | None = certificate_end(identity)
        except EdgeError:
            return None
        return Membership(identity.node, identity.name, identity.coordinator, end)

    async def sync(self) -> None:
        """Renew, verify, update, send."""
        await self._run(self._sync)

    async def _sync(self) -> None:
        with suppress(EdgeError):  # there is time: the next sync brings the next attempt
            await self._node.edge.renew_when_due()
        async with self._node.edge.online() as online:
            snapshot = await online.feed.refresh()
            await online.puller.update_installed(snapshot)
            await online.puller.update_knowledge(snapshot)
        delivery = await self._node.edge.deliver()
        if delivery.failure is not None:
            raise delivery.failure

    async def pin(self, disease: str, model: str, *, pinned: bool) -> None:
        """Set or take away a model's pin."""
        await self._run(lambda: self._pin(disease, model, pinned))

    async def _pin(self, disease: str, model: str, pinned: bool) -> None:
        store = (await self._node.local()).store
        await (store.pin if pinned else store.unpin)(disease, model)

    async def readmit(self, release: str) -> None:
        """Take a release out of quarantine."""
        await self._run(lambda: self._readmit(release))

    async def _readmit(self, release: str) -> None:
        await self._node.edge.quarantine(await self._node.local()).remove(release)

    async def neighbours(self) -> Sequence[Neighbour]:
        """Listen for a while."""
        return await self._run(self._neighbours)

    async def _neighbours(self) -> Sequence[Neighbour]:
        from edge_node.discovery.trust import assess

        edge = self._node.edge
        heard = await edge.browser(edge.config.interfaces).listen(_LISTEN_S)
        found = await assess(heard, *edge.probe())
        return [
            Neighbour(f.announcement.role, f"{f.announcement.host}:{f.announcement.port}", f.announcement.id, f.trusted)
            for f in found
        ]

    async def settings(self) -> dict[str, str]:
        """The node's settings as text."""
        return {key: str(value).lower() for key, value in self._node.edge.config.document().items()}

    async def set(self, key: str, text: str) -> None:
        """Change one; threads and time limits count from the next start on."""
        await self._worker.call(self._set, key, text)

    def _set(self, key: str, text: str) -> None:
        import tomli_w

        from edge_node.config import read_config
        from edge_node.files import write_atomic

        path = self._node.edge.paths.config
        kept = read_config(path.read_bytes() if path.exists() else b"", {})
        changed = kept.changed(key, text)
        write_atomic(path, tomli_w.dumps(changed.document()).encode())
        self._node.edge.config = changed
