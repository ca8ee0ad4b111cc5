"""Photo to answer, cold start and memory, each against its rival in the same run.

* photo to answer: a 12-megapixel JPEG through ``prepare`` and the int8 trunk, against decoding it whole with Pillow and the
  same network in float32 on LiteRT; CPU time, one thread, pairs alternating so that noise strikes both;
* cold start and memory: a fresh process that answers for one image, LiteRT against Keras.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from figures import BACKBONE, HOME, figure, trunk
from PIL import Image, ImageFilter

from coordinator.home import Home
from protocols.imaging import InputSpec, open_image, prepare
from protocols.pipeline import StageRunner

ROUNDS = 15
MAX_RATIO = 0.35
SPEC = InputSpec(299, (0.0, 1.0))


def photograph(path: Path) -> None:
    """A 4000 x 3000 JPEG with structure at every scale, as cameras make them."""
    generator = np.random.default_rng(0)
    picture = Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((4000, 3000))
    grain = Image.fromarray(generator.integers(0, 256, (750, 1000, 3), dtype=np.uint8)).resize((4000, 3000))
    Image.blend(picture, grain.filter(ImageFilter.GaussianBlur(2)), 0.3).save(path, quality=90)


def float_trunk(path: Path) -> None:
    """The same network in float32, converted by the same converter without quantisation."""
    code = (
        "import sys, tensorflow as tf; from pathlib import Path; from coordinator.training import backbones as b\n"
        f"m, _ = b.build(b.parse({BACKBONE!r}), Path(sys.argv[1]))\n"
        "Path(sys.argv[2]).write_bytes(tf.lite.TFLiteConverter.from_keras_model(m).convert()); m.save(sys.argv[3])"
    )
    arguments = [str(Home(HOME).backbones), str(path), str(path.with_suffix(".keras"))]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def cpu_ms(function: Callable[[], object]) -> float:
    before = time.process_time()
    function()
    return (time.process_time() - before) * 1000


def cold(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds of wall time and megabytes of a fresh process; the best of three."""
    best = (float("inf"), float("inf"))
    for _ in range(3):
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        best = min(best, (time.monotonic() - started, float(done.stdout.split()[-1]) / 1024))
    return best


# VmHWM, not getrusage: the latter remembers the parent that started the process.
MEMORY = "print(next(x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM')))"
LITERT = (
    "import sys; from pathlib import Path; from protocols.imaging import *; from protocols.pipeline import StageRunner\n"
    "r = StageRunner(Path(sys.argv[1]))\n"
    "with open_image(Path(sys.argv[2])) as i: r.run({'image': prepare(i, InputSpec(299, (0.0, 1.0)))})\n" + MEMORY
)
KERAS = (
    "import sys, keras, numpy as np; from PIL import Image\n"
    "m = keras.models.load_model(sys.argv[1], compile=False)\n"
    "x = np.asarray(Image.open(sys.argv[2]).convert('RGB').resize((299, 299)), 'float32')[None] / 255\n"
    "m.predict(x, verbose=0)\n" + MEMORY
)


def main() -> int:
    ready = trunk()
    with tempfile.TemporaryDirectory() as folder:
        photo, wide = Path(folder) / "photo.jpg", Path(folder) / "wide.tflite"
        photograph(photo)
        float_trunk(wide)
        small, large = StageRunner(ready.trunk.path), StageRunner(wide)
        large_input = next(iter(large.inputs))

        def ours() -> None:
            with open_image(photo) as image:
                small.run({"image": prepare(image, SPEC)})

        def naive() -> None:
            with Image.open(photo) as image:
                picture = image.convert("RGB").resize((299, 299), Image.Resampling.LANCZOS)
            large.run({large_input: np.asarray(picture, np.float32)[np.newaxis] / 255})

        pairs = [(cpu_ms(ours), cpu_ms(naive)) for _ in range(ROUNDS + 1)][1:]
        mine, theirs = (float(np.median([p[i] for p in pairs])) for i in (0, 1))
        ratio = mine / theirs
        figure(
            "12 MP photo to features, CPU ms",
            f"{mine:.0f}",
            f"{theirs:.0f} Pillow + float32",
            ratio,
            f"≤ {MAX_RATIO}",
            ratio <= MAX_RATIO,
        )

        start, memory = cold(LITERT, str(ready.trunk.path), str(photo))
        keras_start, keras_memory = cold(KERAS, str(wide.with_suffix(".keras")), str(photo))
    figure(
        "cold start to first answer, s",
        f"{start:.2f}",
        f"{keras_start:.2f} Keras",
        start / keras_start,
        "≤ 0.25",
        start / keras_start <= 0.25,
    )
    figure(
        "memory at first answer, MB",
        f"{memory:.0f}",
        f"{keras_memory:.0f} Keras",
        memory / keras_memory,
        "≤ 0.35",
        memory / keras_memory <= 0.35,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
