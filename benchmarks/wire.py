"""Bytes that a node needs, by the public commands, against whole files and 64 KiB content-defined chunks.

A coordinator serves models of two and seven classes on one trunk; a node pulls them. The rivals move the same models as
single-file TFLite exports: whole, or only the chunks that the node does not have yet. Ours counts everything that `pull`
reports: signed metadata, manifest and head.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from figures import figure
from PIL import Image

BIN = Path(sys.executable).parent
CHUNK = 64 * 1024
WINDOW = 48


def run(command: str, *arguments: str, home: Path) -> dict[str, Any]:
    """A command that must succeed."""
    words = [str(BIN / command), *arguments, "--home", str(home), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout))


def chunks(data: bytes) -> dict[bytes, int]:
    """Content-defined chunks of 64 KiB on average, as digest -> size: a boundary where a rolling sum hits a mask."""
    values = np.frombuffer(data, np.uint8).astype(np.uint32) * np.uint32(2654435761)
    rolling = np.cumsum(values, dtype=np.uint32)
    window = rolling[WINDOW:] - rolling[:-WINDOW]
    hits = np.flatnonzero((window >> 7) % CHUNK == 0) + WINDOW
    ends, last = [], 0
    for end in [*hits.tolist(), len(data)]:
        while end - last > 4 * CHUNK:
            last += 4 * CHUNK
            ends.append(last)
        if end - last >= CHUNK // 4 or end == len(data):
            ends.append(end)
            last = end
    found, start = {}, 0
    for end in ends:
        found[hashlib.sha256(data[start:end]).digest()] = end - start
        start = end
    return found


def draw(folder: Path, classes: int, seed: int) -> Path:
    """Tinted noise, one tint a class."""
    generator = np.random.default_rng(seed)
    for label in range(classes):
        (folder / f"class-{label}").mkdir(parents=True)
        tint = np.random.default_rng(label).uniform(40, 215, 3)
        for number in range(24):
            pixels = np.clip(generator.normal(tint, 40, (64, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class-{label}" / f"{number}.png")
    return folder


def publish(home: Path, name: str) -> None:
    run("medmesh-coordinator", "train", name, "--backbone", "random-1", "--effort", "quick", home=home)
    run(
        "medmesh-coordinator",
        "release",
        "propose",
        name,
        "--allow-unmapped",
        "benchmark",
        "--notes",
        "benchmark",
        home=home,
    )
    run("medmesh-coordinator", "release", "approve", name, home=home)
    run("medmesh-coordinator", "release", "rollout", name, home=home)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        home, node = root / "home", root / "node"
        run("medmesh-coordinator", "init", "--approvals", "1", home=home)
        for name, classes, seed in (("two", 2, 1), ("seven", 7, 2)):
            run(
                "medmesh-coordinator",
                "dataset",
                "import",
                str(draw(root / name, classes, seed)),
                "--disease",
                name,
                home=home,
            )
        publish(home, "two")
        server = subprocess.Popen(
            [str(BIN / "medmesh-coordinator"), "serve", "--port", "0", "--node-port", "0", "--home", str(home), "--no-zeroconf"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            server.stdout.readline()
            run("medmesh-edge", "join", run("medmesh-coordinator", "node", "invite", home=home)["invite"], home=node)
            measure(home, node, root)
        finally:
            server.terminate()
            server.wait()
    return 0


def measure(home: Path, node: Path, root: Path) -> None:
    have: dict[bytes, int] = {}

    def step(name: str, disease: str, limit: int | None) -> None:
        pulled = run("medmesh-edge", "pull", disease, home=node)
        ours = sum(pulled["bytes"].values())
        export = root / "single.tflite"
        run("medmesh-coordinator", "model", "export", disease, "--single-file", str(export), home=home)
        data = export.read_bytes()
        missing = {k: v for k, v in chunks(data).items() if k not in have}
        have.update(missing)
        chunked = sum(missing.values()) + 36 * len(missing)
        if limit is None:
            listed = run("medmesh-coordinator", "model", "show", disease, home=home)["artifacts"]
            limit = round(1.02 * sum(a["size"] for a in listed))
        rivals = f"{len(data)} whole, {chunked} in chunks"
        figure(name, f"{ours} B", rivals, ours / len(data), f"≤ {limit} B", ours <= limit)

    step("first install", "two", None)
    poll = sum(run("medmesh-edge", "pull", "two", home=node)["bytes"].values())
    figure("poll with nothing new", f"{poll} B", "—", None, "≤ 1000 B", poll <= 1000)
    publish(home, "seven")
    step("another disease, 7 classes", "seven", 150_000)
    draw(root / "more", 7, 5)
    run("medmesh-coordinator", "dataset", "import", str(root / "more"), "--disease", "seven", home=home)
    publish(home, "seven")
    step("head retrained, 7 classes", "seven", 64_000)
    run("medmesh-coordinator", "dataset", "import", str(draw(root / "third", 2, 9)), "--disease", "third", home=home)
    publish(home, "third")
    step("another disease, 2 classes, everything", "third", 70_000)
    run("medmesh-coordinator", "release", "pause", "third", home=home)
    pause = sum(run("medmesh-edge", "sync", home=node).get("bytes", {"": 0}).values())
    figure("pause or rollback told", f"{pause} B", "—", None, "≤ 2000 B", 0 < pause <= 2000)


if __name__ == "__main__":
    sys.exit(main())
