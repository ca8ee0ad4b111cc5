"""Entry point of the Android app. UNTESTED: never built, never started; see ``packaging/buildozer.spec``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

# Android starts no second Python: models run within the app, and one that crashes ends it.
os.environ.setdefault("MEDMESH_EDGE_ISOLATE", "false")


def main() -> None:
    """Open the app on the folder that Android gives it."""
    from edge_node.ui.run import show

    home = Path(os.environ.get("ANDROID_PRIVATE", ".")) / "medmesh"
    asyncio.run(show(home, "zh" if os.environ.get("LANG", "").startswith("zh") else "en", forced=False))


if __name__ == "__main__":
    main()
