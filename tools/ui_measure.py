"""Measure the app on this machine: start to usable, tap to result with a 12-megapixel photo, memory, longest block.

    .venv/bin/python tools/ui_measure.py [HOME DISEASE | --trunk]

HOME is a node's home with a model of DISEASE; without it a node is set up with the tests' tiny model, whose inference
costs next to nothing, or with InceptionV3 and a random head (``--trunk``; needs the backbone of ``make bench``). Draws
without a display, by software where there is no graphics card.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
if TYPE_CHECKING:
    from tests.edge_node.support.releases import Release

STARTED = "MEDMESH_STARTED"
SIZE = (4000, 3000)
_LOOKED_S = 4.5  # a person reads the first screen before the first tap


def draw_photo(path: Path) -> None:
    """Twelve megapixels of drawn cells, as JPEG from a camera."""
    chance = np.random.default_rng(3)
    noise = chance.integers(0, 40, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    noise[..., 0] += 190
    Image.fromarray(noise).resize(SIZE).save(path, quality=92)


@dataclass(frozen=True)
class Memory:
    """What this process and the one that runs models take up, in MB.

    Attributes:
        app, worker: proportional set sizes: pages that both use count half for each.
        peak: the largest resident set that the app's process ever had.
        parts: the app's share by what it is.
    """

    app: float
    worker: float
    peak: float
    parts: dict[str, float]

    @classmethod
    def now(cls) -> Memory:
        """Measure."""
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for task in Path("/proc/self/task").iterdir():
            children += (task / "children").read_text().split()
        parts = _shares(os.getpid())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        worker = sum(sum(_shares(int(pid)).values()) for pid in set(children))
        return cls(sum(parts.values()), worker, peak, parts)

    def text(self) -> str:
        """For people."""
        parts = ", ".join(f"{name} {mb:.0f}" for name, mb in sorted(self.parts.items(), key=lambda item: -item[1]))
        return (
            f"memory {self.app + self.worker:.0f} MB: app {self.app:.0f} (peak {self.peak:.0f}), worker {self.worker:.0f}\n"
            f"of the app: {parts}\n"
        )


_PARTS = (
    *(
        ("drawing by software", name)
        for name in ("libLLVM", "dri", "libgallium", "libGL", "libEGL", "libglapi", "swrast")
    ),
    *(("Kivy", name) for name in ("kivy", "Kivy", "libSDL2", "libfreetype", "libharfbuzz")),
    *(("pictures and numbers", name) for name in ("numpy", "PIL", "pillow")),
)


def _shares(pid: int) -> dict[str, float]:
    """MB of a process by what lies there."""
    found: dict[str, float] = {}
    part = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if line.startswith("Pss:"):
            found[part] = found.get(part, 0) + int(line.split()[1]) / 1024
        elif "-" in line.split(" ", 1)[0]:
            name = line.split(maxsplit=5)[5] if len(line.split(maxsplit=5)) > 5 else ""
            other = "libraries" if "/" in name and not name.startswith("/memfd") else "heap and textures"
            part = next((part for part, sign in _PARTS if sign in name), other)
    return found


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
        blocked, memory = driver.blocking.longest_ms, Memory.now()
    await close()
    await worker.close()
    listed = ", ".join(f"{seconds * 1000:.0f}" for seconds in times)
    sys.stdout.write(
        f"start to usable {usable[0]:.2f} s\ntap to result {listed} ms (first one first)\n"
        f"longest block {blocked:.0f} ms\n{memory.text()}"
    )


def large_release(folder: Path) -> Release:
    """InceptionV3 as it is published, a random linear head and statistics that know everything."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from explanation import TAPS, heads, statistics
    from figures import trunk

    from coordinator.training import novelty
    from protocols.artifacts import Artifact
    from protocols.manifest import Golden, NoveltyLimits, Stage
    from protocols.pipeline import Pipelines
    from protocols.selftest import golden_scores
    from tests.edge_node.support.releases import BLUE, RED, make_release, png

    ready, head, known = trunk(), heads(folder)[0].read_bytes(), statistics(0)
    data, spec = ready.trunk.path.read_bytes(), ready.trunk.spec
    strip = png(RED, BLUE)
    digests = [Artifact.of("", part).sha256 for part in (data, head, known, strip)]
    stages = (Stage(digests[0]), Stage(digests[1], TAPS))
    limits = NoveltyLimits(digests[2], novelty.TAPS, 1e6, 1e7, 1e6)
    made = make_release(trunk=data, head=head, padding=known, input=spec, stages=stages, novelty=limits)
    artifacts = tuple(Artifact.of("golden", strip) if a.role == "golden" else a for a in made.manifest.artifacts)
    for digest, part in zip(digests, (data, head, known, strip), strict=True):
        (folder / digest).write_bytes(part)
    unscored = replace(made.manifest, artifacts=artifacts, golden=Golden(digests[3], ((0.5, 0.5), (0.5, 0.5))))
    scores = golden_scores(unscored, strip, Pipelines(folder.joinpath))
    golden = Golden(digests[3], tuple(tuple(float(score) for score in row) for row in scores))
    return replace(made, manifest=replace(unscored, golden=golden), files={**made.files, digests[3]: strip})


async def set_up(home: Path, release: Release) -> None:
    """A node with one model and the whole knowledge base."""
    from disease_kb import replica
    from disease_kb.seeding import seed_entries
    from edge_node.ui.wiring.start import services
    from edge_node.ui.worker import Worker
    from tests.edge_node.support.authority import TestAuthority
    from tests.edge_node.support.releases import Simulator
    from tests.edge_node.support.server import serving

    simulator = Simulator([release], knowledge=(replica.build(seed_entries()), "1"))
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
            from tests.edge_node.support.releases import make_release

            asyncio.run(set_up(home, large_release(Path(folder)) if sys.argv[1:] == ["--trunk"] else make_release()))
        photo = Path(folder, "photo.jpg")
        draw_photo(photo)
        environment = {**os.environ, STARTED: str(time.monotonic()), "SDL_VIDEODRIVER": "offscreen"}
        subprocess.run([sys.executable, __file__, str(home), str(photo), disease], env=environment, check=True)


if __name__ == "__main__":
    main()
