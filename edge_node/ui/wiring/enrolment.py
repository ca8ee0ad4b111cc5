"""Joining and leaving."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_node.ui import qr
from edge_node.ui.values import Membership
from edge_node.ui.wiring.node import Adapter
from edge_node.ui.wiring.pictures import readable


class EdgeEnrolment(Adapter):
    """Joining and leaving."""

    async def join(self, invite: str, name: str) -> Membership:
        """Enrol by the invite's text."""
        return await self._run(lambda: self._join(invite, name))

    async def _join(self, invite: str, name: str) -> Membership:
        import platform

        from protocols.invite import Invite

        identity = await self._node.edge.join(Invite.decode(invite), name or platform.node() or "node")
        return Membership(identity.node, identity.name, identity.coordinator)

    async def read_code(self, picture: Path) -> str:
        """The text of a QR code."""
        return await self._worker.call(readable(qr.read), picture)

    async def leave(self) -> None:
        """Delete the node's key and its coordinator; a new invite is needed from then on."""
        await self._worker.call(shutil.rmtree, self._node.edge.paths.identity, True)
