"""``join``."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app
from protocols.console import Console, command

_DEFAULT_NAME = "node"


@command(app)
async def join(
    console: Console,
    invite: Annotated[str, typer.Argument(metavar="INVITE", help="The line from the coordinator · 协调端给出的邀请码")],
    name: Annotated[str | None, typer.Option(help="This node's name · 本节点名称 (default: host name)")] = None,
) -> None:
    """Enrol this node with a coordinator; joining again replaces the former one · 加入协调端."""
    from protocols.invite import Invite

    edge = Edge(console.home)
    wanted = name or platform.node() or _DEFAULT_NAME
    identity = await edge.join(Invite.decode(invite), wanted)
    document = {
        "node": identity.node,
        "name": identity.name,
        "coordinator": identity.coordinator,
        "urls": list(identity.urls),
        "node_url": identity.node_url,
        "ca_sha256": identity.ca_sha256,
        "groups": list(identity.groups),
    }

    def human() -> None:
        console.line(
            f"Joined {identity.coordinator} as {identity.name} ({identity.node}).",
            f"已加入 {identity.coordinator}，本节点为 {identity.name}（{identity.node}）。",
        )
        console.line("Next: medmesh-edge models", "下一步：medmesh-edge models")

    console.answer(document, human)
