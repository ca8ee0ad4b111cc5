from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.store.blobs import FolderBlobs
from coordinator.vetting import archive, rooms
from protocols.pipeline import Pipelines
from tests.coordinator.vetting.support import bring, coordinator, refused


def layer(name: str, config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None, **changes}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    first = layer("InputLayer", {"batch_shape": [None, 32, 32, 3], "dtype": "float32"})
    whole = {"name": "sequential", "layers": [first, layer("GlobalAveragePooling2D", {}), *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": whole, "registered_name": "Sequential"}


DENSE = layer("Dense", {"units": 3, "activation": "softmax", "use_bias": True})


def weights(change: Any = None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        held = file.create_group("layers/dense/vars")
        held["0"], held["1"] = np.zeros((3, 3), np.float32), np.zeros(3, np.float32)
        if change is not None:
            change(file)
    return buffer.getvalue()


def packed(config: dict[str, Any], stored: bytes | None = None, **more: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", weights() if stored is None else stored)
        for name, data in more.items():
            file.writestr(name, data)
    return buffer.getvalue()


def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, kind: str = "keras") -> str:
    """The code of the refusal; ``fine`` where there is none."""
    monkeypatch.chdir(tmp_path)
    Path(rooms.MODEL).write_bytes(data)
    try:
        archive.inspect({"kind": kind, "limit": 1 << 20})
    except CoordinatorError as error:
        assert error.message() and error.remedy()
        return error.code
    return "fine"


def _external(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers/dense/vars/0")


def _circle(file: h5py.File) -> None:
    file["layers/again"] = file["layers"]


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), np.float32)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("layers/dense/vars/2", layout)


def _outside(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", (3,), np.float32, external=[("/etc/passwd", 0, 12)])


def _objects(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", (1,), h5py.string_dtype())


def _reference(file: h5py.File) -> None:
    file.attrs["x"] = file["layers"].ref


def _endless(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", (1 << 31, 64), np.float32, chunks=(1024, 64))


@pytest.mark.parametrize(
    ("config", "change", "code"),
    [
        (sequential(DENSE), None, "fine"),
        (sequential(layer("Lambda", {"function": "x"})), None, "vetting.layer"),
        (sequential(layer("Mine", {}, module="evil.module", registered_name="evil>Mine")), None, "vetting.layer"),
        (sequential(layer("Dense", {"units": 3}, module="os")), None, "vetting.layer"),
        (sequential(layer("Dense", {"units": 3}, registered_name="evil>Dense")), None, "vetting.layer"),
        (sequential(layer("TorchModuleWrapper", {})), None, "vetting.layer"),
        (sequential(layer("Dense", {"units": 3, "activation": {"class_name": "function", "config": "exec"}})), None,
         "vetting.layer"),
        (sequential(layer("Dense", {"units": 3, "kernel_initializer": {"class_name": "__lambda__", "config": {}}})),
         None, "vetting.layer"),
        (sequential(layer("Dense", {"units": 2**31})), None, "vetting.parameters"),
        (sequential(layer("Conv2D", {"filters": 2**20, "kernel_size": [3, 3]})), None, "vetting.parameters"),
        (sequential(layer("Conv2D", {"filters": 3, "kernel_size": [99999, 3]})), None, "vetting.over_limit"),
        (sequential(layer("UpSampling2D", {"size": [4096, 4096]})), None, "vetting.over_limit"),
        (sequential(DENSE), _endless, "vetting.parameters"),
        (sequential(DENSE), _external, "vetting.external"),
        (sequential(DENSE), _soft, "vetting.external"),
        (sequential(DENSE), _circle, "vetting.damaged"),
        (sequential(DENSE), _virtual, "vetting.external"),
        (sequential(DENSE), _outside, "vetting.external"),
        (sequential(DENSE), _objects, "vetting.external"),
        (sequential(DENSE), _reference, "vetting.external"),
    ],
)  # fmt: skip
def test_a_keras_file_is_built_from_the_lists_and_holds_what_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], change: Any, code: str
) -> None:
    stored = weights(change)
    assert inspect(tmp_path, monkeypatch, packed(config, stored)) == code
    with h5py.File(buffer := io.BytesIO(stored), "a") as file:
        file.attrs["model_config"] = json.dumps(config)
    assert inspect(tmp_path, monkeypatch, buffer.getvalue(), "h5") == code


def test_a_container_that_holds_more_or_less_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = packed(sequential(DENSE))
    for data, code in (
        (packed(sequential(DENSE), **{"assets/x.pkl": b"x"}), "vetting.external"),
        (packed(sequential(DENSE), **{"../x": b"x"}), "vetting.external"),
        (packed(sequential(DENSE), b"no HDF5"), "vetting.damaged"),
        (packed(sequential(DENSE), bytes(2 << 20)), "vetting.over_limit"),
        (good[: len(good) // 2], "vetting.damaged"),
        (packed({"class_name": "Functional", "config": json.loads("[" * 200 + "]" * 200)}), "vetting.damaged"),
    ):
        assert inspect(tmp_path, monkeypatch, data) == code
    assert inspect(tmp_path, monkeypatch, weights(), "h5") == "vetting.damaged"  # weights without a configuration


MAKE = """
import sys, keras
from pathlib import Path
folder = Path(sys.argv[1])
keras.utils.set_random_seed(1)
net = keras.Sequential([keras.layers.Input((32, 32, 3)), keras.layers.Rescaling(2.0, -1.0),
    keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.BatchNormalization(), keras.layers.MaxPooling2D(),
    keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(3, activation="softmax")])
net.compile("adam", "categorical_crossentropy")
net.save(folder / "net.keras")
net.save(folder / "net.h5")
import numpy as np
np.save(folder / "wanted.npy", net.predict(np.full((1, 32, 32, 3), 0.25, "float32"), verbose=0))
"""


@pytest.mark.slow
async def test_keras_files_are_converted_and_answer_like_the_original(tmp_path: Path) -> None:
    make = [sys.executable, "-c", MAKE, str(tmp_path)]
    await asyncio.to_thread(subprocess.run, make, check=True, capture_output=True)
    wanted = np.load(tmp_path / "wanted.npy")
    async with coordinator(tmp_path / "home") as opened:
        for name in ("net.keras", "net.h5"):
            document = await bring(opened, (tmp_path / name).read_bytes(), name, output="softmax")
            assert document["vetting"]["kind"] == name.split(".")[1]
            assert document["vetting"]["converted"]["difference"] < 0.01
            assert set(document["vetting"]["conversion_sandbox"]) == set(document["vetting"]["sandbox"])
            manifest = await opened.models.manifest("brought")
            pixels = np.full((1, 32, 32, 3), 0.25, np.float32)
            logits = Pipelines(FolderBlobs(opened.home.artifacts).path).logits(manifest, pixels, {})
            assert np.exp(logits) == pytest.approx(wanted[0], abs=0.005)


async def test_a_keras_file_that_is_refused_never_reaches_tensorflow_and_leaves_nothing(tmp_path: Path) -> None:
    async with coordinator(tmp_path) as opened:
        error = await refused(opened, packed(sequential(layer("Lambda", {}))), "net.keras")
        assert (error.code, error.details["name"]) == ("vetting.layer", "Lambda")
