"""Options of commands that speak with a coordinator over the network."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.errors import CoordinatorError
from coordinator.uploads.remote import Remote
from protocols.access import Token
from protocols.console import Console

To = Annotated[str | None, typer.Option(help="The coordinator's https:// address; without it: this machine's own")]
TokenText = Annotated[
    str | None, typer.Option(envvar="MEDMESH_TOKEN", show_envvar=True, help="API token (token create)")
]


def remote(console: Console, to: str, token: str | None) -> Remote:
    """The coordinator at ``to``.

    Raises:
        MedMeshError: ``usage``, ``token.malformed``, ``upload.unreachable`` or ``upload.wrong_coordinator``.
    """
    if token is None:
        raise CoordinatorError("usage", problem="--to needs --token, or $MEDMESH_TOKEN")

    def interrupted() -> None:
        console.say("The line is interrupted; trying again.", "线路中断，正在重试。")

    return Remote(to, Token.decode(token), console.language, interrupted)
