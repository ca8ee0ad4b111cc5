"""What the benchmark scripts share: printing a figure, and a home with the pretrained backbone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from coordinator.home import Home
from coordinator.training.trunks import ReadyTrunk, Trunks

BACKBONE = "nsfwjs-4.4.0"
HOME = Path(__file__).resolve().parent.parent / "build" / "bench"


def figure(name: str, ours: str, rival: str, ratio: float | None, target: str, ok: bool) -> None:
    """Print one figure as a JSON line; ``ratio`` is ours to the rival's."""
    shown = "—" if ratio is None else f"{ratio:.3g}"
    row = {"figure": name, "ours": ours, "rival": rival, "ratio": shown, "target": target, "ok": bool(ok)}
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def trunk() -> ReadyTrunk:
    """The pretrained trunk, fetched and converted once."""
    home = Home(HOME)
    home.base.mkdir(parents=True, exist_ok=True)
    return Trunks(home).make(BACKBONE)


def data_folder(name: str) -> Path | None:
    """A research data set, or None where it is absent."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("MEDMESH_DATA", root.parent / "shared" / "data")) / name
    return folder if folder.is_dir() else None
