"""What an explanation costs beside recognising, and ten diseases beside one. CPU time, one thread, everything loaded before.

Through the node's own ``Recogniser``: decoding, quality, trunk, heads, novelty statistics and decisions. The ten linear heads
and statistics are random, so that the sizes and not the answers are a trained model's. The picture is a cell of 130 px, which
costs almost nothing to decode: beside a photograph from a camera both ratios would look better.

* explanation: taking the logits apart by location and the heat map for one label, from the pass that gave the answer;
* ten diseases: ten heads and ten statistics on one trunk, against the first of them alone, in alternation.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import data_folder, figure, trunk
from PIL import Image, ImageFilter

from coordinator.training import novelty
from coordinator.training.trunks import ReadyTrunk
from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recogniser
from protocols.artifacts import Artifact
from protocols.explanation import heat
from protocols.imaging import open_image, prepare
from protocols.manifest import Label, NoveltyLimits, ReleaseManifest, Stage
from protocols.pipeline import Pipelines, Tensors
from tests.support.manifests import example

DISEASES, LABELS, ROUNDS = 10, 2, 40
TAPS = ("mixed4_avg", "mixed4_max", "mixed7_avg", "mixed7_max")  # what quick training chooses
CHANNELS = 768
MAX_EXTRA, MAX_RATIO = 0.05, 1.2
CONVERT = (
    "import sys; from pathlib import Path; from coordinator.training import convert\n"
    "for source in sorted(Path(sys.argv[1]).glob('*.npz')):\n"
    "    (folder := source.with_suffix('')).mkdir(); convert.head(source, folder, ['int8'])"
)


def cell() -> Image.Image:
    """A cell from the research data, else noise of the same size."""
    if folder := data_folder("malaria_cells"):
        with open_image(min((folder / "parasitized").iterdir())) as image:
            return image.convert("RGB")
    noise = np.random.default_rng(0).integers(0, 256, (130, 130, 3), dtype=np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))


def heads(folder: Path) -> list[Path]:
    """Random linear heads, converted as trained ones are, in one child process."""
    generator = np.random.default_rng(0)
    for number in range(DISEASES):
        kernels = {f"weights/{tap}": generator.normal(0, 0.02, (CHANNELS, LABELS)).astype(np.float32) for tap in TAPS}
        np.savez(folder / f"{number:02}.npz", taps=np.array(TAPS), bias=np.zeros(LABELS, np.float32), **kernels)
    subprocess.run([sys.executable, "-c", CONVERT, str(folder)], check=True, capture_output=True)
    return sorted(folder.glob("*/int8.tflite"))


def statistics(seed: int) -> bytes:
    """A novelty artifact of the size that training makes."""
    generator = np.random.default_rng(seed)
    images = novelty.Views(
        generator.gamma(1, 0.3, (60, len(novelty.TAPS) * CHANNELS)).astype(np.float32),
        generator.normal(size=(60, 192)).astype(np.float32),
    )
    return novelty.fit(images).to_bytes()


def releases(ready: ReadyTrunk, folder: Path) -> tuple[list[ReleaseManifest], dict[str, Path]]:
    """Ten diseases on one trunk, and where their files are."""
    files, manifests = {ready.trunk.sha256: ready.trunk.path}, []
    for number, head in enumerate(heads(folder)):
        known = head.with_suffix(".novelty")
        known.write_bytes(statistics(number))
        digests = [Artifact.of("", path.read_bytes()).sha256 for path in (head, known)]
        files |= dict(zip(digests, (head, known), strict=True))
        manifest = replace(
            example(),
            disease=f"disease-{number}",
            input=ready.trunk.spec,
            stages=(Stage(ready.trunk.sha256), Stage(digests[0], TAPS)),
            labels=(Label("yes", None, "disease"), Label("no", None, "normal")),
            novelty=NoveltyLimits(digests[1], novelty.TAPS, 1e6, 1e7, 1e6),
        )
        manifests.append(manifest)
    return manifests, files


def cpu_ms(function: Callable[[], object]) -> float:
    before = time.process_time()
    function()
    return (time.process_time() - before) * 1000


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = folder / "cell.png"
        cell().save(picture)
        manifests, files = releases(trunk(), folder)
        first = manifests[0]
        pipelines = Pipelines(files.__getitem__)
        recogniser = Recogniser(pipelines)
        recogniser.recognise(Picture(picture), manifests)

        memo: dict[str, Tensors] = {}
        with open_image(picture) as image:
            pixels = prepare(image, first.input)
        pipelines.logits(first, pixels, memo)

        def explain() -> None:
            evidence = pipelines.evidence(first, pixels, memo)
            assert evidence is not None
            heat(evidence, 0)

        reading = cpu_ms(explain)
        rounds = [
            (
                cpu_ms(lambda: recogniser.recognise(Picture(picture), [first])),
                cpu_ms(lambda: recogniser.recognise(Picture(picture), manifests)),
                cpu_ms(explain),
            )
            for _ in range(ROUNDS)
        ]
    one, ten, extra = (float(np.median([r[i] for r in rounds])) for i in range(3))
    figure(
        f"explanation, CPU ms (the first time {reading:.0f})",
        f"{extra:.2f}",
        f"{one:.1f} recognising",
        extra / one,
        f"≤ {MAX_EXTRA}",
        extra / one <= MAX_EXTRA,
    )
    figure(
        f"{DISEASES} diseases on one picture, CPU ms",
        f"{ten:.1f}",
        f"{one:.1f} one disease",
        ten / one,
        f"≤ {MAX_RATIO}",
        ten / one <= MAX_RATIO,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
