"""Measure the app on this machine: start to usable, tap to result with a 12-megapixel photo, memory, longest block.

    .venv/bin/python tools/ui_measure.py [HOME DISEASE]

HOME is a node's home with a model of DISEASE; without it a node is set up with the tests' tiny model, whose inference
costs next to nothing. Draws without a display.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
STARTED = "MEDMESH_STARTED"
SIZE = (4000, 3000)
_LOOKED_S = 4.5  # a person reads the first screen before the first tap


def draw_photo(path: Path) -> None:
    """Twelve megapixels of drawn cells, as JPEG from a camera."""
    chance = np.random.default_rng(3)
    noise = chance.integers(0, 40, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    noise[..., 0] += 190
    Image.fromarray(noise).resize(SIZE).save(path, quality=92)


async def measure(home: Path, photo: Path, disease: str) -> None:
    """Start the app, use it once, and print what it took."""
    from edge_node.paths import Paths
    from edge_node.ui.environment import configure_kivy, prepare_kivy, save_memory

    save_memory()
    prepare_kivy(Paths.of_home(home).root / "ui" / "kivy")
    configure_kivy((480, 800))
    import kivy.tests  # noqa: F401 - the harness needs it, and it takes long to import

    from edge_node.ui.presenter.presenter import Presenter
    from edge_node.ui.wiring.start import services
    from edge_node.ui.worker import Worker
    from tests.edge_node.ui.support.screen import showing

    worker = Worker()
    parts, close = await services(home, worker, "en")
    presenter = Presenter(parts)
    usable: list[float] = []

    def seen(_: object) -> None:
        if presenter.state.shelf is not None and not usable:
            usable.append(time.monotonic() - float(os.environ[STARTED]))

    presenter.board.listen(seen)
    async with showing(presenter) as driver:
        await asyncio.sleep(_LOOKED_S)
        await driver.tap(f"home.disease.{disease}")
        presenter.capture.choose(photo)
        await driver.settle()
        times = []
        for _ in range(5):
            start = time.monotonic()
            button = driver.widget("check.go")
            await driver.touch(button.to_window(*button.center))
            while presenter.state.screen != "result":
                await driver.frames(1)
            await driver.frames(1)
            times.append(time.monotonic() - start)
            await driver.settle()
            await driver.press("escape")
        blocked, memory = driver.blocking.longest_ms, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await close()
    await worker.close()
    listed = ", ".join(f"{seconds * 1000:.0f}" for seconds in times)
    sys.stdout.write(
        f"start to usable {usable[0]:.2f} s\ntap to result {listed} ms (first one first)\n"
        f"memory {memory:.0f} MB\nlongest block {blocked:.0f} ms\n"
    )


async def set_up(home: Path) -> None:
    """A node with the tests' tiny model and the whole knowledge base."""
    from disease_kb import replica
    from disease_kb.seeding import seed_entries
    from edge_node.ui.wiring.start import services
    from edge_node.ui.worker import Worker
    from tests.edge_node.support.authority import TestAuthority
    from tests.edge_node.support.releases import Simulator, make_release
    from tests.edge_node.support.server import serving

    simulator = Simulator([make_release()], knowledge=(replica.build(seed_entries()), "1"))
    (home / "edge").mkdir(parents=True)
    (home / "edge" / "config.toml").write_text('history_key = "file"\n')
    worker = Worker()
    parts, close = await services(home, worker, "en")
    with serving(simulator, TestAuthority(), home) as server:
        await parts.enrolment.join(server.invite, "clinic")
        await parts.library.pull("malaria", "malaria", lambda *_: None)
    await close()
    await worker.close()


def main() -> None:
    """Set up where needed, then measure in a process of its own."""
    if STARTED in os.environ:
        asyncio.run(measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as folder:
        home, disease = (Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 2 else (Path(folder, "home"), "malaria")
        if len(sys.argv) < 3:
            asyncio.run(set_up(home))
        photo = Path(folder, "photo.jpg")
        draw_photo(photo)
        environment = {**os.environ, STARTED: str(time.monotonic()), "SDL_VIDEODRIVER": "offscreen"}
        subprocess.run([sys.executable, __file__, str(home), str(photo), disease], env=environment, check=True)


if __name__ == "__main__":
    main()
