"""Training time against a naive Keras fit of the same network with a frozen base.

Ours is measured whole: features of ``IMAGES`` images on all cores, and the choice, fit and calibration of the head. The
rival is one epoch of ``model.fit`` on ``SUBSET`` of the same images, measured after a warm-up epoch, and extrapolated to all
images and to 10 epochs, which is said in the figure.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import BACKBONE, HOME, figure, trunk
from PIL import Image

from coordinator.engine.local import LocalEngine
from coordinator.home import Home
from coordinator.training import folds, selection
from coordinator.training.features import FeatureCache
from coordinator.training.ladder import linear
from coordinator.training.ladder.work import Work
from coordinator.training.selection import Data

IMAGES, SUBSET, EPOCHS = 400, 64, 10
MAX_RATIO = 0.2

KERAS = """
import sys, time, numpy as np
from pathlib import Path
import keras
from coordinator.training import backbones as b
base, _ = b.build(b.parse(sys.argv[1]), Path(sys.argv[2]))
base.trainable = False
x, y = np.load(sys.argv[3]), np.arange(len(np.load(sys.argv[3]))) % 2
m = keras.Sequential([base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation='softmax')])
m.compile('adam', 'sparse_categorical_crossentropy')
m.fit(x, y, epochs=1, batch_size=16, verbose=0)
t = time.monotonic(); m.fit(x, y, epochs=1, batch_size=16, verbose=0)
print(time.monotonic() - t)
"""


def main() -> int:
    ready = trunk()
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number in range(IMAGES):
            path = Path(folder) / f"{number}.png"
            small = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(small).resize((224, 224)).save(path)
            files.append((f"{number:064x}", path))
        started = time.monotonic()
        extraction = FeatureCache(Path(folder) / "features").extract(
            files, ready.trunk, LocalEngine(), lambda d, t: None
        )
        feature_s = time.monotonic() - started
        labels = generator.integers(0, 2, IMAGES)
        data = Data(extraction.taps, labels, np.arange(IMAGES).astype(str))
        candidates = selection.CANDIDATES["quick"]
        plans = folds.plans(labels, data.groups, selection.OUTER_FOLDS, 1)
        work = Work(Path(folder) / "work")
        work.begin([])
        linear.cross_validated(data, candidates, plans, work, LocalEngine(), lambda d, t: None)
        selection.fit(data, linear.choose(data, np.ones(IMAGES, dtype=bool), candidates).fits)
        ours_s = time.monotonic() - started

        pixels = Path(folder) / "x.npy"
        np.save(pixels, generator.random((SUBSET, 299, 299, 3), dtype=np.float32))
        done = subprocess.run(
            [sys.executable, "-c", KERAS, BACKBONE, str(Home(HOME).backbones), str(pixels)],
            check=True,
            capture_output=True,
            text=True,
        )
    epoch_s = float(done.stdout.split()[-1]) * IMAGES / SUBSET
    ratio = ours_s / (EPOCHS * epoch_s)
    figure(
        f"training on {IMAGES} images with nested selection, s",
        f"{ours_s:.0f} (features {feature_s:.0f})",
        f"{EPOCHS * epoch_s:.0f} Keras fit, {EPOCHS} epochs (one measured on {SUBSET})",
        ratio,
        f"≤ {MAX_RATIO}",
        ratio <= MAX_RATIO,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
