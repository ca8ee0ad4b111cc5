"""What this site brings to federated runs, for those who have consented."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from edge_node.bootstrap.fetching import Fetching
from edge_node.bootstrap.parts import utc_now

if TYPE_CHECKING:
    from edge_node.agent.gateway import Answer
    from edge_node.federation.extract import Trunk
    from edge_node.federation.participant import Participant
    from edge_node.federation.site import LocalSite


class Federation(Fetching):
    """What this site brings to federated runs, for those who have consented."""

    def _taking_part(self, told: Callable[[str, str], None]) -> Callable[[], Awaitable[Answer | None]]:
        """Gives what answers questions of federated runs, while this site has consented to one."""
        from importlib.util import find_spec

        participants: list[Participant] = []
        making = asyncio.Lock()

        async def answer(question: bytes) -> bytes | None:
            async with making:
                if not participants:
                    participants.append(await asyncio.to_thread(self._participant, told))
            reply = await participants[0].answer(question)
            self.traffic.count("federation", len(question) + len(reply or b""))
            return reply

        async def federation() -> Answer | None:
            if not self.paths.federation.exists() or find_spec("flwr") is None:
                return None
            from edge_node.federation.store import SiteStore

            async with SiteStore.open(self.paths.federation) as store:
                return answer if await store.consents() else None

        return federation

    def _participant(self, told: Callable[[str, str], None]) -> Participant:
        import numpy as np

        from edge_node.federation.client_app import make_app
        from edge_node.federation.participant import Participant

        site = self.federation_site()
        return Participant(make_app(lambda _: site, np.random.default_rng()), self.identity().node, told)

    def federation_site(self) -> LocalSite:
        """What this site brings, for those who have consented."""
        from edge_node.federation.site import LocalSite

        return LocalSite(self.paths.federation, self._trunk, self._may_take_part, self.copies)

    async def _may_take_part(self, disease: str) -> None:
        from edge_node.federation import permission
        from edge_node.federation.store import SiteStore

        used = (await self.ledger.this_month()).by_kind.get("federation", 0)
        async with SiteStore.open(self.paths.federation) as store:
            permission.require(disease, await store.consents(), utc_now().astimezone(), used)

    async def _trunk(self, sha256: str) -> Trunk | None:
        """A trunk that an installed release brought, verified."""
        from edge_node.cache.artifacts import ArtifactCache
        from edge_node.federation.extract import Trunk
        from protocols.manifest import ReleaseManifest

        async with self.index() as store:
            artifacts = ArtifactCache(self.paths.cache, store)
            for release in await store.installed():
                needed = [a for a in release.files if a.sha256 == sha256]
                if needed and await artifacts.holds(release.manifest) and await artifacts.holds(needed[0]):
                    manifest = ReleaseManifest.from_bytes(artifacts.path(release.manifest.sha256).read_bytes())
                    if manifest.stages[0].sha256 == sha256:
                        return Trunk(sha256, artifacts.path(sha256), manifest.input)
        return None
