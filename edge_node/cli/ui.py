"""``ui``: the app."""

from __future__ import annotations

import sys

from edge_node.cli.root import app
from protocols.console import Console, command


@command(app)
async def ui(console: Console) -> None:
    """Open the app on this machine's screen · 打开图形界面."""
    from edge_node.ui.run import show

    forced = any(word == "--lang" or word.startswith("--lang=") for word in sys.argv)
    await show(console.home, console.language, forced=forced)
    console.answer({"closed": True}, lambda: None)
