"""An epoch of spatial-head training from cached maps against an epoch of naive Keras fine-tuning; CPU time, same run.

The head is the largest that ``train --effort full`` tries. Ours is measured as it is run: one child for ``HEADS`` heads
side by side; the CPU time of ``MORE`` further epochs is the difference of two trainings that differ in nothing else, so
that TensorFlow's start counts for neither side. The rival is ``model.fit`` above ``mixed7`` (BatchNorm frozen) on
``SUBSET`` images, after a warm-up epoch, scaled to as many images, which the figure says. Fifty epochs of naive fit with a
frozen base, measured for one epoch and scaled in the same way, are set against features and the fit of a linear head to
convergence; features are measured on ``SUBSET`` images too.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import BACKBONE, HOME, figure, trunk

from coordinator.home import Home
from coordinator.training import folds
from coordinator.training.features import map_shapes
from coordinator.training.ladder.spatial import CONFIGS
from coordinator.training.linear import Projection
from coordinator.training.spatial import training
from coordinator.training.spatial.maps import MapCache, Maps, packed
from protocols.pipeline import StageRunner

CONFIG = CONFIGS["full"][-1]
IMAGES, SUBSET, HEADS, MORE = 320, 32, 5, 3
FITTED, EPOCHS = 2000, 50

KERAS = """
import sys, time, numpy as np
from pathlib import Path
import keras
from coordinator.training import backbones as b
base, _ = b.build(b.parse(sys.argv[1]), Path(sys.argv[2]))
above = False
for layer in base.layers:
    layer.trainable = above and sys.argv[3] == "tune" and not isinstance(layer, keras.layers.BatchNormalization)
    above = above or layer.name == "mixed7"
n = int(sys.argv[4])
x, y = np.random.default_rng(0).random((n, 299, 299, 3), dtype=np.float32), np.arange(n) % 2
m = keras.Sequential([base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation='softmax')])
m.compile('adam', 'sparse_categorical_crossentropy')
m.fit(x, y, epochs=1, batch_size=16, verbose=0)
t = time.process_time(); m.fit(x, y, epochs=1, batch_size=16, verbose=0)
print(time.process_time() - t)
"""


def children_s() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keras_s(kind: str) -> float:
    """CPU seconds of one epoch over ``SUBSET`` images."""
    command = [sys.executable, "-c", KERAS, BACKBONE, str(Home(HOME).backbones), kind, str(SUBSET)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def made(folder: Path) -> Maps:
    """Maps of the trunk's shape with made-up values: how long training takes does not depend on them."""
    ready = trunk().trunk
    store = MapCache(folder, 2 * 10**9).store(ready.sha256, map_shapes(ready, CONFIG.maps))
    digests = [f"{n:064x}" for n in range(IMAGES)]
    chance = np.random.default_rng(0)
    for digest in digests:
        values = {x: np.maximum(chance.standard_normal(s, dtype=np.float32), 0) for x, s in store.shapes.items()}
        store.put(digest, {layer: packed(v) for layer, v in values.items()})
    store.flush()
    return store.maps(digests)


def ours_s(folder: Path) -> float:
    """CPU seconds of one epoch of one head over ``IMAGES`` images."""
    maps = made(folder / "maps")
    labels, groups = np.arange(IMAGES) % 2, np.arange(IMAGES).astype(str)
    plans = folds.plans(labels, groups, HEADS, 1)
    used = []
    for epochs in (1, 1 + MORE):
        before = children_s()
        config = replace(CONFIG, epochs=epochs)
        training.cross_validated(maps, labels, groups, plans, config, folder / "work", lambda *_: None)
        used.append(children_s() - before)
    return (used[1] - used[0]) / MORE / HEADS


def features_s() -> float:
    """CPU seconds of the features of ``SUBSET`` images, on one core."""
    ready = trunk()
    runner = StageRunner(ready.trunk.path)
    name, edge = next(iter(runner.inputs)), ready.trunk.spec.edge_px
    image = np.random.default_rng(0).random((1, edge, edge, 3), dtype=np.float32)
    runner.run({name: image})
    before = time.process_time()
    for _ in range(SUBSET):
        runner.run({name: image})
    return time.process_time() - before


def fit_s() -> float:
    """CPU seconds of fitting a linear head to convergence, which stands for any number of epochs."""
    chance = np.random.default_rng(0)
    features = chance.standard_normal((FITTED, 2048), dtype=np.float32)
    before = time.process_time()
    Projection(features).fit(chance.integers(0, 2, FITTED), 1e-2)
    return time.process_time() - before


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        ours = ours_s(Path(folder))
    tuned = keras_s("tune") * IMAGES / SUBSET
    figure(
        f"an epoch of a spatial head from cached maps, {IMAGES} images, CPU s",
        f"{ours:.2f} a head ({HEADS} side by side)",
        f"{tuned:.1f} Keras fine-tuning above mixed7 (measured on {SUBSET})",
        ours / tuned,
        "≤ 1/8",
        ours * 8 <= tuned,
    )
    naive = keras_s("frozen") * FITTED / SUBSET * EPOCHS
    fitted, features = fit_s(), features_s() * FITTED / SUBSET
    figure(
        f"a linear head on {FITTED} images, {EPOCHS} epochs' worth, CPU s",
        f"{features + fitted:.0f} (features {features:.0f}, measured on {SUBSET}; fit {fitted:.1f})",
        f"{naive:.0f} Keras fit, frozen base (one epoch measured on {SUBSET})",
        (features + fitted) / naive,
        "≤ 1/100",
        (features + fitted) * 100 <= naive,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
