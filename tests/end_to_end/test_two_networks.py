"""Two networks of real processes: a release travels, is re-tested and countersigned, and the first one's revocation is seen.

No TensorFlow: the release consists of two tiny stages that tell red pictures from blue ones.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import Running, call, run
from tests.support.networks import made, network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SERVE = ("medmesh-coordinator", "serve", "--port", "0", "--node-port", "0", "--no-zeroconf")


def pictures(folder: Path) -> Path:
    """Two classes of textured squares, every one another patient's."""
    chance = np.random.default_rng(3)
    for label, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            pixels = np.array(colour) + chance.integers(-30, 30, (64, 64, 1))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder


def made_in(home: Path) -> None:
    async def make() -> None:
        async with network(home, "North") as north:
            await made(north)

    asyncio.run(make())


def test_a_release_travels_between_networks_and_its_revocation_follows(tmp_path: Path) -> None:
    north, south, clinic = tmp_path / "north", tmp_path / "south", tmp_path / "clinic"
    made_in(north)
    for step in (("propose",), ("approve",), ("rollout",)):
        run("medmesh-coordinator", "release", *step, "malaria@1", home=north)
    run("medmesh-coordinator", "init", "--approvals", "1", "--name", "South", home=south)
    images = pictures(tmp_path / "ours")
    run("medmesh-coordinator", "dataset", "import", str(images), "--disease", "malaria", "--name", "ours", home=south)
    first, second = Running(*SERVE, home=north), Running(*SERVE, home=south)
    try:
        url = first.wait_for(url=None)["url"]
        second.wait_for(url=None)
        file = tmp_path / "north.json"
        offered = run("medmesh-coordinator", "upstream", "offer", str(file), "--url", url, home=north)
        added = run("medmesh-coordinator", "upstream", "add", "--root", str(file), home=south)
        assert (added["root_sha256"], added["ca_pinned"]) == (offered["root_sha256"], True)

        taken = run("medmesh-coordinator", "upstream", "pull", "malaria", "--on", "ours", home=south)
        measured = taken["origin"]["evaluation"]
        assert (measured["n"], measured["balanced_accuracy"]["value"]) == (48, 1.0)
        run("medmesh-coordinator", "release", "propose", "malaria@1", home=south)
        run("medmesh-coordinator", "release", "approve", "malaria@1", home=south)
        run("medmesh-coordinator", "release", "rollout", "malaria@1", home=south)

        invite = run("medmesh-coordinator", "node", "invite", home=south)["invite"]
        run("medmesh-edge", "join", invite, home=clinic)
        assert run("medmesh-edge", "pull", "malaria", home=clinic)["active"]
        (row,) = run("medmesh-edge", "models", home=clinic)["models"]
        here, there = row["signer"].split("; ")
        assert here
        assert there == f"North: {', '.join(taken['origin']['approvers'])}"

        run("medmesh-coordinator", "release", "withdraw", "malaria@1", "--reason", "wrong thresholds", home=north)
        seen = run("medmesh-coordinator", "upstream", "refresh", "north", home=south)
        assert seen["taken"][0]["revoked"]["reason"] == "wrong thresholds"
        assert run("medmesh-coordinator", "release", "show", "malaria@1", home=south)["state"] == "paused"
        first.stop()
        gone = call("medmesh-coordinator", "upstream", "refresh", "north", home=south)
        assert (gone.code, gone.error["code"]) == (6, "upstream.unreachable")
    finally:
        first.stop()
        second.stop()
